// Server<A>: a listening socket whose clients are served by a coroutine each,
// as by Async's Tcp.Server (docs/CONFORMANCE.md, S1-S14).
// Public: for programs outside of this repository, too.
//
//   Task<> Echo(Inet::Address client, Reader& reader, Writer& writer) {
//     std::array<char, 4096> buffer;
//     while (const size_t size = co_await reader.Read(buffer)) {
//       writer.Write({buffer.data(), size});
//       co_await writer.Flushed().Wait();
//     }
//   }
//
//   asio::io_context loop;
//   const auto server = Server<Inet>::Create(
//       loop.get_executor(), WhereToListen<Inet>::OfPortChosenByOs(),
//       RaiseHandlerError(), Echo);
//   if (!server.ok()) return server.status();
//   Log(LogLevel::kInfo,
//       absl::StrCat("listening on port ", (*server)->listening_on()));
//   loop.run();  // Until Close() was called, and the last handler has ended.
#ifndef PORTREEVE_LIB_SERVE_SERVER_H_
#define PORTREEVE_LIB_SERVE_SERVER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/status/statusor.h"
#include "lib/serve/any_server.h"

namespace portreeve {

// Calls `f` with the client's address and the handler's error, and the server
// goes on.  If f throws, the server is closed, and the creator's monitor gets
// what f threw (d4, d5).
template <AddressKind A>
struct CallHandlerError {
  std::function<void(const typename A::Address&, std::exception_ptr)> f;
};
// The default is RaiseHandlerError.
template <AddressKind A>
using OnHandlerError =
    std::variant<RaiseHandlerError, IgnoreHandlerError, CallHandlerError<A>>;

// A server of one kind of address.  What is not here is in any_server(), and
// AnyServer (lib/serve/any_server.h) says what each method guarantees.
//
// Threads: loop thread only.
// Lifetime: destroying it before close_finished_and_handlers_determined() or
// the end of TearDown() is a CHECK failure.
template <AddressKind A>
class Server {
 public:
  // Serves one client.  When the coroutine ends or throws, what was written is
  // flushed, for at most 30 s, and reader, writer and socket are closed (S8).
  using Handler = std::function<Task<>(typename A::Address, Reader&, Writer&)>;
  // Does the same on the bare socket, which is closed at the end.  What Asio's
  // operations on it throw because the client has left is no error of the
  // handler.
  using SockHandler = std::function<Task<>(typename A::Address, Socket<A>)>;

  // Binds, listens, and accepts from the next step of the loop on; on `socket`,
  // if there is one.  AnyServer::Create() says what that has to be and what
  // becomes of it, and has the errors.
  static absl::StatusOr<std::unique_ptr<Server>> Create(
      Executor executor, const WhereToListen<A>& where,
      OnHandlerError<A> on_handler_error, Handler handler,
      ServerOptions options = {},
      std::optional<Descriptor> socket = std::nullopt) {
    CoroutineHandler any;
    any.run = [handler = std::move(handler)](StreamConnection& client) {
      return handler(std::get<typename A::Address>(client.peer()),
                     client.reader(), client.writer());
    };
    return Wrap(AnyServer::Create(
        std::move(executor), where, ToAny(std::move(on_handler_error)),
        std::move(any), std::move(options), std::move(socket)));
  }

  static absl::StatusOr<std::unique_ptr<Server>> CreateSock(
      Executor executor, const WhereToListen<A>& where,
      OnHandlerError<A> on_handler_error, SockHandler handler,
      ServerOptions options = {},
      std::optional<Descriptor> socket = std::nullopt) {
    CoroutineHandler any;
    any.run = [handler = std::move(handler)](StreamConnection& client) {
      return handler(std::get<typename A::Address>(client.peer()),
                     Socket<A>(client.socket()));
    };
    any.streams = StreamConnection::Streams::kNo;
    return Wrap(AnyServer::Create(
        std::move(executor), where, ToAny(std::move(on_handler_error)),
        std::move(any), std::move(options), std::move(socket)));
  }

  // Gives the port, or the path, on which it listens.  It can be called after
  // the close, too.
  auto listening_on() const {
    if constexpr (std::is_same_v<A, Inet>) {
      return static_cast<int>(listening_on_address().port());
    } else {
      return listening_on_address().path();
    }
  }
  typename A::Address listening_on_address() const {
    return std::get<typename A::Address>(any_->listening_on());
  }

  Deferred<> Close(ExistingConnections existing = ExistingConnections::kLeave) {
    return any_->Close(existing);
  }
  bool is_closed() const { return any_->is_closed(); }
  Deferred<> close_finished() const { return any_->close_finished(); }
  Deferred<> close_finished_and_handlers_determined() const {
    return any_->close_finished_and_handlers_determined();
  }
  int num_connections() const { return any_->num_connections(); }
  void SetDropIncomingConnections(bool drop) {
    any_->SetDropIncomingConnections(drop);
  }
  bool is_dropping_incoming_connections() const {
    return any_->is_dropping_incoming_connections();
  }
  Task<> TearDown() { return any_->TearDown(); }

  AnyServer& any_server() { return *any_; }

 private:
  explicit Server(std::unique_ptr<AnyServer> any) : any_(std::move(any)) {}

  static absl::StatusOr<std::unique_ptr<Server>> Wrap(
      absl::StatusOr<std::unique_ptr<AnyServer>> any) {
    if (!any.ok()) return any.status();
    return std::unique_ptr<Server>(new Server(*std::move(any)));
  }

  static Task<> CallSync(CallHandlerError<A> call, typename A::Address address,
                         std::exception_ptr error) {
    call.f(address, error);
    co_return;
  }

  static AnyOnHandlerError ToAny(OnHandlerError<A> on_handler_error) {
    if (std::holds_alternative<RaiseHandlerError>(on_handler_error)) {
      return RaiseHandlerError();
    }
    if (std::holds_alternative<IgnoreHandlerError>(on_handler_error)) {
      return IgnoreHandlerError();
    }
    return CallOnHandlerError{
        [call = std::get<CallHandlerError<A>>(std::move(on_handler_error))](
            const StreamConnection& client, std::exception_ptr error) {
          return CallSync(call, std::get<typename A::Address>(client.peer()),
                          error);
        }};
  }

  const std::unique_ptr<AnyServer> any_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_SERVE_SERVER_H_
