// CheckedSpec: the spec of a listener that was checked, and the values in it.
#ifndef PORTREEVE_SERVER_API_CHECKED_SPEC_H_
#define PORTREEVE_SERVER_API_CHECKED_SPEC_H_

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "lib/base/time_source.h"
#include "lib/serve/server_options.h"
#include "portreeve/v1/listener.pb.h"
#include "server/api/convert.h"

namespace portreeve::server {

// Bounds of labels, so that what is remembered and listed stays small.
inline constexpr int kMaxLabels = 64;
inline constexpr size_t kMaxLabelKeyBytes = 128;
inline constexpr size_t kMaxLabelValueBytes = 256;
inline constexpr size_t kMaxLabelsBytes = 4096;  // Of keys and values together.

// Bounds of AccessLog.every, so that lines are neither a flood nor forgotten.
inline constexpr std::chrono::seconds kMinAccessLogEvery{1};
inline constexpr std::chrono::hours kMaxAccessLogEvery{24};

// The backlog of a listener that does not say its own; the kernel cuts it to
// net.core.somaxconn.  The library's own default is the original's, which is
// too little for clients that come all at once.
inline constexpr int kDefaultMaxPendingConnections = 4096;

class CheckedSpec;
// A spec that somebody has never changes: an update of a listener makes another
// one.
using SharedSpec = std::shared_ptr<const CheckedSpec>;

// Checks all of `spec` and gives every field that is unset its default, but for
// `access_log`, of which the daemon may have no use.
// Threads: any.
// Errors: INVALID_FIELD, with the path from `spec`.
absl::StatusOr<SharedSpec> CheckAndFill(v1::ListenerSpec spec);

// A spec in which every field is right and has its default, and what it says in
// the library's words, parsed once.  CheckAndFill() alone makes it.
//
// Threads: any; it does not change.
class CheckedSpec {
 public:
  // What a forward handler does.
  struct Forward {
    AnyWhereToConnect upstream;
    Duration connect_timeout{};  // > 0.
  };
  // What a remote handler does.
  struct Remote {
    // How long a worker has to claim an offer, or to give a verdict.  > 0.
    Duration claim_timeout{};
  };

  // Which lines connections leave in the access log.
  struct AccessLog {
    bool on_open = false;
    bool on_close = true;  // The first is not without this.
    std::optional<Duration> every;
  };

  CheckedSpec(const CheckedSpec&) = delete;
  CheckedSpec& operator=(const CheckedSpec&) = delete;

  const v1::ListenerSpec& message() const { return message_; }
  // Gives message(), serialized.
  const std::string& encoded() const { return encoded_; }

  const AnyWhereToListen& where_to_listen() const { return where_to_listen_; }

  // Gives the options that the spec has.  The observer, the budget and the
  // lanes are null.
  const ServerOptions& options() const { return options_; }

  // Are null where the handler is another one.
  const Forward* forward() const { return forward_ ? &*forward_ : nullptr; }
  const Remote* remote() const { return remote_ ? &*remote_ : nullptr; }

  const AccessLog& access_log() const { return access_log_; }

 private:
  friend absl::StatusOr<SharedSpec> CheckAndFill(v1::ListenerSpec spec);

  CheckedSpec() = default;

  v1::ListenerSpec message_;
  std::string encoded_;
  AnyWhereToListen where_to_listen_;
  ServerOptions options_;
  std::optional<Forward> forward_;
  std::optional<Remote> remote_;
  AccessLog access_log_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_API_CHECKED_SPEC_H_
