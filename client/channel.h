// Channels to a daemon.  For the .cc files of this library only.
#ifndef PORTREEVE_CLIENT_CHANNEL_H_
#define PORTREEVE_CLIENT_CHANNEL_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "client/tls_options.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace portreeve::client {

// Gives a channel to `target`, which is in gRPC's form.  It connects to nothing
// yet.  Without options it is without TLS.
//
// Errors: those of ReadTlsFiles.
absl::StatusOr<std::shared_ptr<grpc::Channel>> NewChannel(
    const std::string& target, const std::optional<TlsOptions>& tls);

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_CHANNEL_H_
