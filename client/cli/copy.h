// Copies bytes between descriptors and a stream.  Descriptors may be of any
// kind, blocking or not.
#ifndef PORTREEVE_CLIENT_CLI_COPY_H_
#define PORTREEVE_CLIENT_CLI_COPY_H_

#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/stream.h"
#include "portreeve/v1/connection.pb.h"

namespace portreeve::cli {

// Writes all of `bytes`, for as long as it takes.  Gives false where it cannot,
// and sets errno.
bool WriteAll(int descriptor, absl::string_view bytes);

// Sends what `input` has.  Gives true when that ends; false when nothing more
// can be sent, or the descriptor `wake` is readable.  A `wake` of -1 never is.
//
// Errors: those of reading `input`.
absl::StatusOr<bool> SendAll(int input, int wake, client::Stream& stream);

// How a connection has ended.
struct Ending {
  v1::CloseReason reason;
  // Whether both directions had ended before, so that neither was cut here.
  bool both_ended;
};

// Serves `stream` with `input` and `output`, which end independently: the end
// of `input` becomes FIN, and once both directions have ended the connection is
// done.  Calls `peer_ended` when the peer has sent FIN and `input` goes on.
// Returns once the connection is closed.
//
// Errors: those of Stream::Read; DATA_LOSS where `input` or `output` fails,
// which cuts the connection.
absl::StatusOr<Ending> CopyBothWays(client::Stream& stream, int input,
                                    int output,
                                    const std::function<void()>& peer_ended);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_COPY_H_
