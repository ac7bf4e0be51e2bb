// DaemonService of portreeve.v1.
#ifndef PORTREEVE_SERVER_CALLS_DAEMON_SERVICE_H_
#define PORTREEVE_SERVER_CALLS_DAEMON_SERVICE_H_

#include <functional>
#include <optional>

#include "absl/status/statusor.h"
#include "lib/base/loop.h"
#include "lib/base/time_source.h"
#include "portreeve/v1/daemon.grpc.pb.h"
#include "server/access/gate.h"
#include "server/calls/unary_service.h"

namespace portreeve::server {

// An UpgradeDaemon that was found good.
struct UpgradeCall {
  std::optional<Duration> drain_timeout;
  bool validate_only = false;
  // Has to be called once, on the loop, whichever process the daemon goes on
  // in.
  std::function<void(absl::StatusOr<v1::Daemon>)> answer;
};

// Lifetime: `loop` and `gate` outlive every call.
class DaemonService final
    : public UnaryService<v1::DaemonService::CallbackService> {
 public:
  // `describe` gives what the daemon is like now, and is called on the loop.
  // So is `upgrade`, which must not wait.
  DaemonService(Loop& loop, Gate& gate, std::function<v1::Daemon()> describe,
                std::function<void(UpgradeCall)> upgrade);

  grpc::ServerUnaryReactor* GetDaemon(grpc::CallbackServerContext* context,
                                      const v1::GetDaemonRequest* request,
                                      v1::Daemon* response) override;

  grpc::ServerUnaryReactor* UpgradeDaemon(
      grpc::CallbackServerContext* context,
      const v1::UpgradeDaemonRequest* request, v1::Daemon* response) override;

 private:
  Loop& loop_;
  Gate& gate_;
  const std::function<v1::Daemon()> describe_;
  const std::function<void(UpgradeCall)> upgrade_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_DAEMON_SERVICE_H_
