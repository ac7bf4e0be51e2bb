// ConnectSock, Connect and WithConnection: from an address or a name to a
// connection (docs/CONFORMANCE.md, C2-C4).
//
//   Task<std::string> Ask(std::string host, int port) {
//     ConnectOptions options;
//     options.timeout = std::chrono::seconds(5);
//     auto talk = [](Socket<Inet>, Reader& reader,
//                    Writer& writer) -> Task<std::string> {
//       writer.Write("how are you?\n");
//       writer.HalfClose();
//       co_return co_await reader.ReadAll();
//     };
//     co_return co_await WithConnection(
//         WhereToConnect<Inet>::OfHostAndPort(host, port), options, talk);
//   }
//
// It throws a StatusError where there is no connection to be had, and the
// connection is closed by the time it gives the answer.
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_CONNECT_CONNECT_H_
#define PORTREEVE_LIB_CONNECT_CONNECT_H_

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/asio.h"
#include "lib/base/deferred.h"
#include "lib/base/descriptor.h"
#include "lib/connect/resolver.h"
#include "lib/net/buffer_age_limit.h"
#include "lib/net/buffer_sizes.h"
#include "lib/net/reader.h"
#include "lib/net/socket.h"
#include "lib/net/where.h"
#include "lib/net/writer.h"

namespace portreeve {

struct ConnectOptions {
  // How long the attempt may take, the lookup of the name included.  With 0 or
  // less it fails at once, even against a live server (f5).  Default: 30 s.
  Duration timeout = std::chrono::seconds(30);

  // Once this is determined, the attempt is given up ("connection attempt
  // aborted").  It has no effect once connected (f6).
  std::optional<Deferred<>> interrupt;

  // The resolver that is asked for names; null: Resolver::Of(the loop).  It
  // must outlive the call.
  Resolver* resolver = nullptr;

  // Called for each address, resolved or literal, before that is tried; an
  // error leaves the address out, and is the result if none is left.  Null: all
  // are admitted.  Inet only.
  std::function<absl::Status(const Inet::Address&)> admit;

  // Called before each attempt, to give the file to connect to, opened with
  // O_PATH, in place of what is at the path by then.  It gives a Descriptor
  // that is not open to connect by the path; its error is the attempt's.  The
  // file is closed after connect(2).  So the file that somebody has looked at
  // is the one that is connected to.  It needs /proc.  Null: the path.  Unix
  // only.
  std::function<absl::StatusOr<Descriptor>(const Unix::Address&)> open;

  // Called for each attempt around connect(2): it must call `connect`, once,
  // which begins the attempt and gives the descriptor, or -1.  It is for those
  // who have to know the address that the connection comes from before the peer
  // can.  Null: nothing is done around it.  Inet only.
  std::function<void(const Inet::Address& peer,
                     absl::FunctionRef<int()> connect)>
      around_connect;

  // The limit of the Writer that Connect and WithConnection make.
  BufferAgeLimit buffer_age_limit;
  // What BufferSizes says, for the Reader and the Writer that they make.
  size_t reader_buffer_size = BufferSizes().reader;
  size_t writer_buffer_size = BufferSizes().writer;

  SocketOptions socket_options;
};

// Resolves `where`, connects, and gives the socket.  Every address of a name
// is tried, as RFC 8305 says (Happy Eyeballs); where the process has no more
// descriptors for several attempts at a time (DescriptorPart::OfAttempts()),
// the oldest one is given up for the next.  A file whose server has a full
// backlog is tried again.
//
// With a `socket` it connects that one, which may be bound, in place of one of
// its own.  It is to be a stream socket of kind A that neither is connected nor
// listens; a wrong one is refused, by INVALID_FIELD, or NOT_A_SOCKET, about
// "socket", which says what is wrong with it.  One socket makes one attempt: to
// the first address of a name that is of the socket's family and admitted.  A
// `where` with a source is refused for a socket that is bound.  The socket
// becomes non-blocking, also for others who have a copy, and close-on-exec, and
// gets `socket_options`.  Where this fails it is closed; whoever wants to keep
// it passes a dup(2).
//
// Throws StatusError: INVALID_FIELD; CONNECT_TIMEOUT "connection attempt
// timeout ADDRESS"; CONNECT_INTERRUPTED "connection attempt aborted ADDRESS";
// DNS_FAILURE; CONNECT_REFUSED, NO_ROUTE and other errors of connect(2) and
// bind(2) as "OPERATION ADDRESS: TEXT".  Whoever awaits gets the error; where
// the task was spawned and nobody awaits it, the monitor that was current at
// the spawn does.
// Cancellation: terminal; it gives up the attempt, with operation_aborted.
// Lifetime: `where` and `options` are copied.
template <AddressKind A>
Task<Socket<A>> ConnectSock(WhereToConnect<A> where, ConnectOptions options,
                            std::optional<Descriptor> socket = std::nullopt);

// A connection that the caller owns.  To have everything flushed, close the
// Writer first, then the Reader (g2).  The destructor closes the socket at
// once.
template <AddressKind A>
struct Connection {
  Connection(Socket<A> s, Monitor monitor, const WriterOptions& options,
             size_t reader_buffer_size = BufferSizes().reader)
      : socket(std::move(s)),
        reader(socket.core(), reader_buffer_size),
        writer(socket.core(), std::move(monitor), options) {}
  ~Connection() { socket.core()->CloseNow(); }

  Socket<A> socket;
  Reader reader;
  Writer writer;
};

// Connects as ConnectSock does, and makes a Reader and a Writer over the same
// descriptor.  Later errors of the Writer go to the monitor that is current at
// this call (g1, g9).
template <AddressKind A>
Task<std::unique_ptr<Connection<A>>> Connect(
    WhereToConnect<A> where, ConnectOptions options,
    std::optional<Descriptor> socket = std::nullopt);

namespace internal {

// What WithConnection does around f, whatever f gives: it owns the connection,
// watches for the Writer's errors, and closes in the end.
class ConnectionScope {
 public:
  ConnectionScope(Executor caller, std::shared_ptr<SocketCore> socket,
                  const ConnectOptions& options);
  ~ConnectionScope();

  Reader& reader();
  Writer& writer();

  // Runs `body`, which calls f; flushes and closes; rethrows the first error.
  Task<> Run(Task<> body);

 private:
  struct State;
  const std::shared_ptr<State> state_;
};

}  // namespace internal

// Connects, as ConnectSock does, and runs f(socket, reader, writer), a
// coroutine.  When f has ended
// or thrown, it flushes, closes the writer, the reader and the socket, and only
// then gives f's result or throws f's error (f1, f2, f9, f11).
//
// While f runs, an error of the Writer, or one that is sent to the monitor
// current in f, ends it: f is cancelled and joined, and the error is thrown.
// After f has ended such errors go to the monitor that was current at this call
// (f10).  If f closes the reader, the writer is closed, too (f7).  A peer that
// does not read is closed by force 30 s after f's end.
//
// Throws: what ConnectSock throws, and then f is not called; f's error; the
// Writer's error.
// Cancellation: terminal; f is cancelled and joined, and the socket is closed
// without waiting for the flush.
// Lifetime: `f` is kept until the end.  Name a capturing lambda before the
// co_await: g++ 12 destroys a temporary one twice.
template <AddressKind A, typename F,
          typename T = typename std::invoke_result_t<F&, Socket<A>, Reader&,
                                                     Writer&>::value_type>
Task<T> WithConnection(WhereToConnect<A> where, ConnectOptions options, F f,
                       std::optional<Descriptor> given = std::nullopt) {
  const Executor caller = co_await asio::this_coro::executor;
  const Socket<A> socket =
      co_await ConnectSock<A>(std::move(where), options, std::move(given));
  internal::ConnectionScope scope(caller, socket.core(), options);
  if constexpr (std::is_void_v<T>) {
    co_await scope.Run(f(socket, scope.reader(), scope.writer()));
  } else {
    std::optional<T> result;
    auto body = [](F& f, Socket<A> socket, Reader& reader, Writer& writer,
                   std::optional<T>& result) -> Task<> {
      result.emplace(co_await f(socket, reader, writer));
    };
    co_await scope.Run(body(f, socket, scope.reader(), scope.writer(), result));
    co_return std::move(*result);
  }
}

}  // namespace portreeve

#endif  // PORTREEVE_LIB_CONNECT_CONNECT_H_
