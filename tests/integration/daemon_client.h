// DaemonClient: a gRPC client of a DaemonProcess.
#ifndef PORTREEVE_TESTS_INTEGRATION_DAEMON_CLIENT_H_
#define PORTREEVE_TESTS_INTEGRATION_DAEMON_CLIENT_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "grpc/health/v1/health.grpc.pb.h"
#include "portreeve/v1/event.grpc.pb.h"
#include "portreeve/v1/listener.grpc.pb.h"

namespace portreeve::testing {

// Every call has a deadline; a call that is refused fails the test, unless it
// gives its status.
class DaemonClient {
 public:
  explicit DaemonClient(const std::string& target);

  // Creates an echo listener on a port of the OS; without an id the daemon
  // chooses one.
  grpc::Status CreateEcho(v1::Listener& listener, const std::string& id = "");
  // The same; must not fail.
  v1::Listener Create(const std::string& id);
  void CloseAndDelete(const std::string& name);
  v1::ListListenersResponse List();

  // Waits until health says so.
  void WaitUntilNotServing();

  // A watch; it counts once this is constructed.
  class Watch {
   public:
    Watch(DaemonClient& client, const v1::WatchEventsRequest& request = {});
    // The next event; false at the end of the stream.
    bool Next(v1::Event& event);
    // Reads to the end: the events, and with what the stream ended.
    grpc::Status Drain(std::vector<v1::Event>& events);

   private:
    grpc::ClientContext context_;
    std::unique_ptr<grpc::ClientReader<v1::WatchEventsResponse>> reader_;
    std::vector<v1::Event> pending_;
  };

 private:
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::ListenerService::Stub> listeners_;
  const std::unique_ptr<v1::EventService::Stub> events_;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_INTEGRATION_DAEMON_CLIENT_H_
