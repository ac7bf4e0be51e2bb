// DaemonService of portreeve.v1.
#ifndef PORTREEVE_SERVER_CALLS_DAEMON_SERVICE_H_
#define PORTREEVE_SERVER_CALLS_DAEMON_SERVICE_H_

#include <functional>

#include "lib/base/loop.h"
#include "portreeve/v1/daemon.grpc.pb.h"
#include "server/access/gate.h"
#include "server/calls/unary_service.h"

namespace portreeve::server {

// Lifetime: `loop` and `gate` outlive every call.
class DaemonService final
    : public UnaryService<v1::DaemonService::CallbackService> {
 public:
  // `describe` gives what the daemon is like now, and is called on the loop.
  DaemonService(Loop& loop, Gate& gate, std::function<v1::Daemon()> describe);

  grpc::ServerUnaryReactor* GetDaemon(grpc::CallbackServerContext* context,
                                      const v1::GetDaemonRequest* request,
                                      v1::Daemon* response) override;

 private:
  Loop& loop_;
  Gate& gate_;
  const std::function<v1::Daemon()> describe_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_DAEMON_SERVICE_H_
