#include "tests/model/control.h"

#include <utility>

#include "tests/testing/connected_channel.h"

namespace portreeve::model {
namespace {

std::shared_ptr<grpc::Channel> ChannelTo(const std::string& target) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  return testing::Connected(grpc::CreateCustomChannel(
      target, grpc::InsecureChannelCredentials(), arguments));
}

}  // namespace

Control::Control(const std::string& target, Wake& wake, OnEvent on_event)
    : wake_(wake), on_event_(std::move(on_event)) {
  const auto channel = ChannelTo(target);
  listeners_ = v1::ListenerService::NewStub(channel);
  connections_ = v1::ConnectionService::NewStub(channel);
  handlers_ = v1::HandlerService::NewStub(channel);
  events_ = v1::EventService::NewStub(channel);
  v1::WatchEventsRequest request;
  for (const auto kind :
       {v1::EVENT_KIND_CONNECTION_ACCEPTED, v1::EVENT_KIND_CONNECTION_DROPPED,
        v1::EVENT_KIND_CONNECTION_CLOSED, v1::EVENT_KIND_LISTENER_CLOSE_STARTED,
        v1::EVENT_KIND_LISTENER_HANDLERS_DETERMINED}) {
    request.add_kinds(kind);
  }
  watch_ = events_->WatchEvents(&watch_context_, request);
  watch_->WaitForInitialMetadata();
  watcher_ = std::thread([this] { Watch(); });
}

Control::~Control() {
  watch_context_.TryCancel();
  watcher_.join();
}

void Control::Watch() {
  v1::WatchEventsResponse response;
  while (watch_->Read(&response)) {
    wake_.Post([this, response] {
      for (const v1::Event& event : response.events()) on_event_(&event);
    });
  }
  (void)watch_->Finish();
  wake_.Post([this] { on_event_(nullptr); });
}

template <typename Service, typename Request, typename Answer>
void Control::Call(Service* service,
                   void (Service::*method)(grpc::ClientContext*, const Request*,
                                           Answer*,
                                           std::function<void(grpc::Status)>),
                   const Request& request, OnAnswer<Answer> on_answer) {
  struct State {
    grpc::ClientContext context;
    Request request;
    Answer answer;
  };
  const auto state = std::make_shared<State>();
  state->request = request;
  ++calls_;
  (service->*method)(
      &state->context, &state->request, &state->answer,
      [this, state, on_answer = std::move(on_answer)](grpc::Status status) {
        wake_.Post([this, state, on_answer, status = std::move(status)] {
          --calls_;
          on_answer(status, state->answer);
        });
      });
}

void Control::CreateListener(const v1::CreateListenerRequest& request,
                             OnAnswer<v1::Listener> on_answer) {
  using Async = v1::ListenerService::StubInterface::async_interface;
  Call<Async>(listeners_->async(), &Async::CreateListener, request,
              std::move(on_answer));
}

void Control::CloseListener(const v1::CloseListenerRequest& request,
                            OnAnswer<v1::Listener> on_answer) {
  using Async = v1::ListenerService::StubInterface::async_interface;
  Call<Async>(listeners_->async(), &Async::CloseListener, request,
              std::move(on_answer));
}

void Control::GetListener(const std::string& name,
                          OnAnswer<v1::Listener> on_answer) {
  using Async = v1::ListenerService::StubInterface::async_interface;
  v1::GetListenerRequest request;
  request.set_name(name);
  Call<Async>(listeners_->async(), &Async::GetListener, request,
              std::move(on_answer));
}

void Control::DeleteListener(const std::string& name,
                             OnAnswer<google::protobuf::Empty> on_answer) {
  using Async = v1::ListenerService::StubInterface::async_interface;
  v1::DeleteListenerRequest request;
  request.set_name(name);
  Call<Async>(listeners_->async(), &Async::DeleteListener, request,
              std::move(on_answer));
}

void Control::CloseConnection(const v1::CloseConnectionRequest& request,
                              OnAnswer<v1::Connection> on_answer) {
  using Async = v1::ConnectionService::StubInterface::async_interface;
  Call<Async>(connections_->async(), &Async::CloseConnection, request,
              std::move(on_answer));
}

void Control::GetConnection(const std::string& name,
                            OnAnswer<v1::Connection> on_answer) {
  using Async = v1::ConnectionService::StubInterface::async_interface;
  v1::GetConnectionRequest request;
  request.set_name(name);
  Call<Async>(connections_->async(), &Async::GetConnection, request,
              std::move(on_answer));
}

}  // namespace portreeve::model
