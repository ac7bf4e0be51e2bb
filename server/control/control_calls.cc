#include "server/control/control_calls.h"

#include <grpcpp/support/server_interceptor.h>

#include <atomic>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace portreeve::server {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::Interceptor;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;

// What the context of each call has beside gRPC's own; gRPC gives it back once
// it has done with the call.
class CallContext {
 public:
  explicit CallContext(ControlTable& table) : table_(table) {
    table_.OnCallTakenIn();
  }

  // Gives false where that is a call too many.
  bool Begin(std::shared_ptr<ControlConnection> connection,
             RequestCounts* requests, const char* method) {
    pending_ = false;
    table_.OnCallBegun();
    if (requests != nullptr) BeginRequest(*requests, method);
    connection_ = std::move(connection);
    return connection_ == nullptr || connection_->BeginCall();
  }
  // Threads: any.  It may be called more than once.
  void NoteAnswer(grpc::StatusCode code) const {
    if (answered_.exchange(true)) return;
    if (connection_ != nullptr) connection_->BeginAnswer();
    if (requests_ != nullptr) {
      requests_->Count(method_, code,
                       std::chrono::steady_clock::now() - begun_);
    }
  }
  const std::shared_ptr<ControlConnection>& connection() const {
    return connection_;
  }

 protected:
  ~CallContext() = default;
  void End(bool cancelled) {
    if (pending_) table_.OnCallBegun();
    if (connection_ == nullptr) return;
    if (answered_) connection_->EndAnswer();
    connection_->EndCall(cancelled);
  }

 private:
  void BeginRequest(RequestCounts& requests, const char* method) {
    method_ = requests.Find(method);
    if (method_ < 0) return;
    begun_ = std::chrono::steady_clock::now();
    requests_ = &requests;
  }

  ControlTable& table_;
  RequestCounts* requests_ = nullptr;  // Null: this call is not counted.
  int method_ = -1;                    // These two: where it is.
  TimePoint begun_;
  bool pending_ = true;
  mutable std::atomic<bool> answered_ = false;
  std::shared_ptr<ControlConnection> connection_;
};

class Context final : public grpc::CallbackServerContext, public CallContext {
 public:
  explicit Context(ControlTable& table) : CallContext(table) {}
  // A call that was not begun does not know whether it is cancelled.
  ~Context() override { End(connection() != nullptr && IsCancelled()); }
};

// gRPC asks for a context when it takes a call in, in the thread that reads the
// connection, while what runs calls may be far behind.
class Contexts final : public grpc::ContextAllocator {
 public:
  explicit Contexts(ControlTable& table) : table_(table) {}

  grpc::CallbackServerContext* NewCallbackServerContext() override {
    return new Context(table_);
  }
  grpc::GenericCallbackServerContext* NewGenericCallbackServerContext()
      override {
    table_.OnCallTakenIn();
    return new grpc::GenericCallbackServerContext;
  }
  void Release(grpc::CallbackServerContext* context) override {
    // gRPC gives back generic contexts here, too.  Nobody may extend their
    // class, but they have a method once the call has begun.
    const auto* generic =
        dynamic_cast<grpc::GenericCallbackServerContext*>(context);
    if (generic != nullptr && generic->method().empty()) table_.OnCallBegun();
    delete context;
  }
  void Release(grpc::GenericCallbackServerContext* context) override {
    Release(static_cast<grpc::CallbackServerContext*>(context));
  }

 private:
  ControlTable& table_;
};

// A call, from its beginning to its end, whose context is not a Context: one of
// a method that no service has, or of gRPC's own synchronous services.
class CountedCall final : public Interceptor {
 public:
  CountedCall(ServerRpcInfo& info,
              std::shared_ptr<ControlConnection> connection)
      : info_(info), connection_(std::move(connection)) {}
  ~CountedCall() override {
    if (answered_) connection_->EndAnswer();
    connection_->EndCall(cancelled_);
  }

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_STATUS) &&
        !std::exchange(answered_, true)) {
      connection_->BeginAnswer();
    }
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_CLOSE)) {
      cancelled_ = info_.server_context()->IsCancelled();
    }
    methods->Proceed();
  }

 private:
  ServerRpcInfo& info_;
  const std::shared_ptr<ControlConnection> connection_;
  bool answered_ = false;
  bool cancelled_ = false;
};

class CountedCalls final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  CountedCalls(ControlTable& table, RequestCounts* requests)
      : table_(table), requests_(requests) {}

  Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    grpc::ServerContextBase& context = *info->server_context();
    auto connection = table_.Find(context.peer());
    if (auto* call = dynamic_cast<CallContext*>(&context)) {
      // This needs no interceptor, which would cost a batch of core's for every
      // message.
      if (!call->Begin(connection, requests_, info->method())) {
        TooMany(*connection);
      }
      return nullptr;
    }
    if (const auto* generic =
            dynamic_cast<grpc::GenericCallbackServerContext*>(&context)) {
      // A call of the method "" counts as begun once its context is given back.
      if (!generic->method().empty()) table_.OnCallBegun();
    }
    if (connection == nullptr) return nullptr;
    if (!connection->BeginCall()) TooMany(*connection);
    return new CountedCall(*info, std::move(connection));
  }

 private:
  void TooMany(ControlConnection& connection) {
    table_.ShutDown(connection, ToText(FloodPolicy::Excess::kCalls));
  }

  ControlTable& table_;
  RequestCounts* const requests_;
};

}  // namespace

void CountCalls(grpc::ServerBuilder& builder, ControlTable& table,
                RequestCounts* requests) {
  builder.SetContextAllocator(std::make_unique<Contexts>(table));
  std::vector<
      std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
      factories;
  factories.push_back(std::make_unique<CountedCalls>(table, requests));
  builder.experimental().SetInterceptorCreators(std::move(factories));
}

std::shared_ptr<ControlConnection> ConnectionOf(
    const grpc::ServerContextBase& context) {
  const auto* call = dynamic_cast<const CallContext*>(&context);
  return call == nullptr ? nullptr : call->connection();
}

void NoteAnswer(const grpc::ServerContextBase& context, grpc::StatusCode code) {
  const auto* call = dynamic_cast<const CallContext*>(&context);
  if (call != nullptr) call->NoteAnswer(code);
}

grpc::ServerGenericBidiReactor* UnknownMethods::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  class Refusal final : public grpc::ServerGenericBidiReactor {
   public:
    explicit Refusal(const std::string& method) {
      Finish(grpc::Status(grpc::StatusCode::UNIMPLEMENTED,
                          absl::StrCat("there is no method ", method)));
    }
    void OnDone() override { delete this; }
  };
  return new Refusal(context->method());
}

}  // namespace portreeve::server
