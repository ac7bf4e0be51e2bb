#include "lib/connect/connect.h"

#include <boost/asio/this_coro.hpp>
#include <new>
#include <utility>

#include "lib/base/guarded.h"
#include "lib/base/task_scope.h"
#include "lib/net/any_connection.h"

namespace portreeve {

template <AddressKind A>
Task<std::unique_ptr<Connection<A>>> Connect(WhereToConnect<A> where,
                                             ConnectOptions options) {
  const Executor executor = co_await asio::this_coro::executor;
  WriterOptions writer_options;
  writer_options.buffer_age_limit = options.buffer_age_limit;
  Socket<A> socket =
      co_await ConnectSock<A>(std::move(where), std::move(options));
  co_return std::make_unique<Connection<A>>(std::move(socket),
                                            executor.monitor(), writer_options);
}

template Task<std::unique_ptr<Connection<Inet>>> Connect(WhereToConnect<Inet>,
                                                         ConnectOptions);
template Task<std::unique_ptr<Connection<Unix>>> Connect(WhereToConnect<Unix>,
                                                         ConnectOptions);

namespace internal {

struct ConnectionScope::State {
  State(Executor caller_executor, std::shared_ptr<SocketCore> s,
        BufferAgeLimit limit)
      : caller(std::move(caller_executor)),
        socket(std::move(s)),
        monitor(caller.monitor(), "with_connection",
                [this](std::exception_ptr error) { OnError(error); }),
        ended(caller),
        reader(socket),
        writer(socket, monitor, OptionsOf(limit)),
        scope(caller.With(monitor)) {}

  static WriterOptions OptionsOf(BufferAgeLimit limit) {
    WriterOptions options;
    options.buffer_age_limit = limit;
    return options;
  }

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
    ended.Fill();
  }

  const Executor caller;
  const std::shared_ptr<SocketCore> socket;
  Monitor monitor;
  std::exception_ptr error;
  const Ivar<> ended;
  Reader reader;
  Writer writer;
  TaskScope scope;
};

ConnectionScope::ConnectionScope(Executor caller,
                                 std::shared_ptr<SocketCore> socket,
                                 BufferAgeLimit buffer_age_limit)
    : state_(std::make_shared<State>(std::move(caller), std::move(socket),
                                     buffer_age_limit)) {}

ConnectionScope::~ConnectionScope() {
  state_->monitor.Detach();
  state_->socket->CloseNow();
}

Reader& ConnectionScope::reader() { return state_->reader; }

Writer& ConnectionScope::writer() { return state_->writer; }

// Waits for `deferred`; false if the caller was cancelled, before or meanwhile.
// Where there is no memory to wait, it is tried again.
Task<bool> WaitUnlessCancelled(Deferred<> deferred) {
  const auto state = co_await asio::this_coro::cancellation_state;
  while (state.cancelled() == asio::cancellation_type::none) {
    try {
      const auto [ec] = co_await deferred.Wait(kTuple);
      if (ec != asio::error::no_memory) break;
    } catch (const std::bad_alloc&) {
    }
  }
  co_return state.cancelled() == asio::cancellation_type::none;
}

Task<> ConnectionScope::Run(Task<> body) {
  State& state = *state_;
  auto on_exit = [&state](std::exception_ptr error) { state.OnExit(error); };
  state.scope.Spawn(std::move(body), on_exit);
  // A cancellation is dealt with here, where f can be joined, and thrown at the
  // end; and so is what is thrown where there is no memory.
  const bool throw_if_cancelled =
      co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  bool cancelled = false;
  std::exception_ptr no_memory;
  try {
    cancelled = !co_await WaitUnlessCancelled(state.ended.deferred());
    if (!cancelled) {
      state.writer.Close(kForceCloseAfter);
      cancelled = !co_await WaitUnlessCancelled(state.socket->closed());
    }
  } catch (...) {
    no_memory = std::current_exception();
  }
  if (cancelled || no_memory) {
    state.scope.Cancel();
    Guarded(state.caller.monitor(), [&] { state.writer.Abort(); });
    // Whatever happens here, for f refers to what goes with this.
    do {
      try {
        (void)co_await state.ended.deferred().Wait(kTuple);
      } catch (const std::bad_alloc&) {
      }
    } while (!state.ended.determined());
    co_await asio::this_coro::reset_cancellation_state();
  }
  co_await asio::this_coro::throw_if_cancelled(throw_if_cancelled);
  // An error of f's own is not lost in a cancellation.
  if (!state.error || ((cancelled || no_memory) && IsCancelled(state.error))) {
    if (no_memory) std::rethrow_exception(no_memory);
    if (cancelled) {
      throw boost::system::system_error(asio::error::operation_aborted);
    }
  }
  if (state.error) std::rethrow_exception(state.error);
}

}  // namespace internal

}  // namespace portreeve
