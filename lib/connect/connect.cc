#include "lib/connect/connect.h"

#include <boost/asio/this_coro.hpp>
#include <new>
#include <utility>

#include "lib/base/deferred.h"
#include "lib/base/guarded.h"
#include "lib/base/latch.h"
#include "lib/base/task_scope.h"
#include "lib/net/any_connection.h"

namespace portreeve {
namespace {

WriterOptions WriterOptionsOf(const ConnectOptions& options) {
  WriterOptions writer_options;
  writer_options.buffer_age_limit = options.buffer_age_limit;
  writer_options.buffer_size = options.writer_buffer_size;
  return writer_options;
}

}  // namespace

template <AddressKind A>
Task<std::unique_ptr<Connection<A>>> Connect(WhereToConnect<A> where,
                                             ConnectOptions options,
                                             std::optional<Descriptor> given) {
  const Executor executor = co_await asio::this_coro::executor;
  const WriterOptions writer_options = WriterOptionsOf(options);
  const size_t reader_buffer_size = options.reader_buffer_size;
  Socket<A> socket = co_await ConnectSock<A>(
      std::move(where), std::move(options), std::move(given));
  co_return std::make_unique<Connection<A>>(std::move(socket),
                                            executor.monitor(), writer_options,
                                            reader_buffer_size);
}

template Task<std::unique_ptr<Connection<Inet>>> Connect(
    WhereToConnect<Inet>, ConnectOptions, std::optional<Descriptor>);
template Task<std::unique_ptr<Connection<Unix>>> Connect(
    WhereToConnect<Unix>, ConnectOptions, std::optional<Descriptor>);

namespace internal {

struct ConnectionScope::State {
  State(Executor caller_executor, std::shared_ptr<SocketCore> s,
        const ConnectOptions& options)
      : caller(std::move(caller_executor)),
        socket(std::move(s)),
        monitor(caller.monitor(), "with_connection",
                [this](std::exception_ptr error) { OnError(error); }),
        joined(caller),
        pause(caller),
        reader(socket, options.reader_buffer_size),
        writer(socket, monitor, WriterOptionsOf(options)),
        scope(caller.With(monitor)) {}

  // An error in the background while f runs: f is cancelled.
  void OnError(std::exception_ptr e) {
    if (error) {
      caller.monitor().Send(e);
      return;
    }
    error = e;
    scope.Cancel();
  }

  void OnExit(std::exception_ptr e) {
    // What f throws because it was cancelled is not its own error.
    if (e && error && !IsCancelled(e)) {
      caller.monitor().Send(e);
    } else if (e && !error) {
      error = e;
    }
    // From here on nobody awaits what goes wrong (f10).
    monitor.Detach();
  }

  const Executor caller;
  const std::shared_ptr<SocketCore> socket;
  Monitor monitor;
  std::exception_ptr error;
  Latch joined;  // Open once f has ended.
  Pause pause;
  Reader reader;
  Writer writer;
  TaskScope scope;
};

ConnectionScope::ConnectionScope(Executor caller,
                                 std::shared_ptr<SocketCore> socket,
                                 const ConnectOptions& options)
    : state_(std::make_shared<State>(std::move(caller), std::move(socket),
                                     options)) {}

ConnectionScope::~ConnectionScope() {
  state_->monitor.Detach();
  state_->socket->CloseNow();
}

Reader& ConnectionScope::reader() { return state_->reader; }

Writer& ConnectionScope::writer() { return state_->writer; }

Task<> ConnectionScope::Run(Task<> body) {
  State& state = *state_;
  const Ivar<> ended(state.caller);
  auto on_exit = [&state, ended](std::exception_ptr error) {
    state.OnExit(error);
    ended.Fill();
  };
  state.scope.Spawn(std::move(body), on_exit);
  state.scope.OpenWhenEmpty(state.joined);
  // A cancellation is dealt with here, where f can be joined, and thrown at the
  // end.
  const bool throw_if_cancelled =
      co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto cancellation = co_await asio::this_coro::cancellation_state;
  bool cancelled = cancellation.cancelled() != asio::cancellation_type::none;
  // First for f's end, and then for that of the close.
  bool closing = false;
  while (!cancelled) {
    const Deferred<> next = closing ? state.socket->closed() : ended.deferred();
    bool has_memory = true;
    if (!next.determined()) {
      try {
        const auto [ec] = co_await next.Wait(kTuple);
        has_memory = ec != asio::error::no_memory;
      } catch (const std::bad_alloc&) {
        has_memory = false;
      }
    }
    if (!has_memory) co_await state.pause.Take();
    cancelled = cancellation.cancelled() != asio::cancellation_type::none;
    if (cancelled || !next.determined()) continue;
    if (closing) break;
    closing = true;
    Guarded(state.caller.monitor(),
            [&] { state.writer.Close(kForceCloseAfter); });
  }
  if (cancelled) {
    state.scope.Cancel();
    Guarded(state.caller.monitor(), [&] { state.writer.Abort(); });
    co_await state.joined.Wait();  // For f refers to what goes with this.
    co_await asio::this_coro::reset_cancellation_state();
  }
  co_await asio::this_coro::throw_if_cancelled(throw_if_cancelled);
  // An error of f's own is not lost in a cancellation.
  if (cancelled && (!state.error || IsCancelled(state.error))) {
    throw boost::system::system_error(asio::error::operation_aborted);
  }
  if (state.error) std::rethrow_exception(state.error);
}

}  // namespace internal

}  // namespace portreeve
