// UnaryService: what all unary methods do before they see a request.
#ifndef PORTREEVE_SERVER_CALLS_UNARY_SERVICE_H_
#define PORTREEVE_SERVER_CALLS_UNARY_SERVICE_H_

#include <google/protobuf/descriptor.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/access/access_table.h"
#include "server/access/gate.h"
#include "server/api/errors.h"
#include "server/calls/unary.h"
#include "server/calls/unread_answers.h"
#include "server/control/control_calls.h"
#include "server/control/control_connection.h"

namespace portreeve::server {

// A request as it came.  gRPC itself would answer one that it cannot parse, and
// nobody would hear of it.
template <typename Message>
struct Received {
  Message message;
  size_t bytes = 0;
  bool is_there = false;  // A call may end before its request has come.
  bool is_parsed = false;
};

// What is answered.  Once it is encoded, the message is given back: while the
// client does not read, its bytes wait, and nothing else.
template <typename Message>
struct Reply {
  mutable Message message;
};

// `Methods` is a service of generated code whose unary methods are callbacks.
// The class for it refuses, in its name, bytes that are no request, such as a
// string that is not UTF-8, and calls of clients that leave too much unread.
// Such a refusal is audited like those of the method itself.
// Lifetime: `loop` and `gate` outlive every call.
template <typename Methods>
class UnaryService : public Methods {
 protected:
  UnaryService(asio::io_context& loop, Gate& gate)
      : gate_(gate), unread_(UnreadAnswers::Of(loop)) {}

  // Calls of the method of this name go to `method`.  In the constructor, for
  // every unary method.
  template <typename Service, typename Request, typename Response>
  void ServeUnary(
      const char* name,
      grpc::ServerUnaryReactor* (Service::*method)(grpc::CallbackServerContext*,
                                                   const Request*, Response*)) {
    auto serve = [this, name, method](grpc::CallbackServerContext* context,
                                      const Received<Request>* request,
                                      Reply<Response>* reply) {
      if (const auto& connection = ConnectionOf(*context)) {
        connection->AddMessage(request->bytes);
      }
      if (!request->is_there) {
        return Answer(context, InvalidMessage("there is no request"));
      }
      if (!request->is_parsed) {
        return Refuse(
            context, name,
            InvalidMessage(absl::StrCat("not a ", Request::descriptor()->name(),
                                        ", whose strings are UTF-8")));
      }
      if (unread_.IsFull(*context)) {
        return Refuse(context, name, TooMuchUnread());
      }
      return (static_cast<Service*>(this)->*method)(context, &request->message,
                                                    &reply->message);
    };
    const auto* descriptor =
        Request::descriptor()
            ->file()
            ->pool()
            ->FindServiceByName(std::string(AccessOf(name).service))
            ->FindMethodByName(name);
    this->MarkMethodCallback(
        descriptor->index(),
        new grpc::internal::CallbackUnaryHandler<Received<Request>,
                                                 Reply<Response>>(serve));
  }

 private:
  grpc::ServerUnaryReactor* Refuse(grpc::CallbackServerContext* context,
                                   std::string_view method,
                                   const absl::Status& status) {
    const auto caller = gate_.Admit(*context, method);
    if (!caller.ok()) return Answer(context, caller.status());
    gate_.Audit(*caller, "", status);
    return Answer(context, status);
  }

  Gate& gate_;
  UnreadAnswers& unread_;
};

}  // namespace portreeve::server

namespace grpc {

template <typename Message>
class SerializationTraits<portreeve::server::Received<Message>> {
 public:
  static Status Deserialize(ByteBuffer* buffer,
                            portreeve::server::Received<Message>* request) {
    request->is_there = buffer->Valid();
    request->bytes = buffer->Length();
    request->is_parsed =
        request->is_there &&
        SerializationTraits<Message>::Deserialize(buffer, &request->message)
            .ok();
    return Status::OK;
  }
};

template <typename Message>
class SerializationTraits<portreeve::server::Reply<Message>> {
 public:
  static Status Serialize(const portreeve::server::Reply<Message>& reply,
                          ByteBuffer* buffer, bool* own_buffer) {
    const Status status = SerializationTraits<Message>::Serialize(
        reply.message, buffer, own_buffer);
    using std::swap;
    Message none;
    swap(none, reply.message);
    return status;
  }
};

}  // namespace grpc

#endif  // PORTREEVE_SERVER_CALLS_UNARY_SERVICE_H_
