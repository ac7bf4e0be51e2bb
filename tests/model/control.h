// Control: the daemon's control plane, as the model test uses it.
#ifndef PORTREEVE_TESTS_MODEL_CONTROL_H_
#define PORTREEVE_TESTS_MODEL_CONTROL_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "portreeve/v1/connection.grpc.pb.h"
#include "portreeve/v1/event.grpc.pb.h"
#include "portreeve/v1/handler.grpc.pb.h"
#include "portreeve/v1/listener.grpc.pb.h"
#include "tests/model/wake.h"

namespace portreeve::model {

// Calls that are answered on the thread that runs `wake`.
//
// Threads: that one.  Lifetime: every call is over before it goes.
class Control {
 public:
  // Gives each event that tells of connections, and of handlers determined, and
  // in the end null.  Returns when the watch counts.
  using OnEvent = std::function<void(const v1::Event*)>;
  Control(const std::string& target, Wake& wake, OnEvent on_event);
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;
  // Cancels the watch, and waits for it.
  ~Control();

  template <typename Answer>
  using OnAnswer = std::function<void(const grpc::Status&, const Answer&)>;

  void CreateListener(const v1::CreateListenerRequest& request,
                      OnAnswer<v1::Listener> on_answer);
  void CloseListener(const v1::CloseListenerRequest& request,
                     OnAnswer<v1::Listener> on_answer);
  void GetListener(const std::string& name, OnAnswer<v1::Listener> on_answer);
  void DeleteListener(const std::string& name,
                      OnAnswer<google::protobuf::Empty> on_answer);
  void CloseConnection(const v1::CloseConnectionRequest& request,
                       OnAnswer<v1::Connection> on_answer);
  void GetConnection(const std::string& name,
                     OnAnswer<v1::Connection> on_answer);

  v1::ConnectionService::Stub& connections() { return *connections_; }
  v1::HandlerService::Stub& handlers() { return *handlers_; }
  Wake& wake() { return wake_; }

  // Streams count, too.
  void NoteCallBegins() { ++calls_; }
  void NoteCallEnds() { --calls_; }
  int calls_under_way() const { return calls_; }

 private:
  template <typename Service, typename Request, typename Answer>
  void Call(Service* service,
            void (Service::*method)(grpc::ClientContext*, const Request*,
                                    Answer*, std::function<void(grpc::Status)>),
            const Request& request, OnAnswer<Answer> on_answer);
  void Watch();

  Wake& wake_;
  const OnEvent on_event_;
  int calls_ = 0;
  std::unique_ptr<v1::ListenerService::Stub> listeners_;
  std::unique_ptr<v1::ConnectionService::Stub> connections_;
  std::unique_ptr<v1::HandlerService::Stub> handlers_;
  std::unique_ptr<v1::EventService::Stub> events_;
  grpc::ClientContext watch_context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchEventsResponse>> watch_;
  std::thread watcher_;
};

}  // namespace portreeve::model

#endif  // PORTREEVE_TESTS_MODEL_CONTROL_H_
