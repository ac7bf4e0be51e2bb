#include "lib/connect/connect_file.h"

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/this_coro.hpp>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"
#include "lib/base/doubling_delay.h"
#include "lib/base/status.h"
#include "lib/base/time_source.h"
#include "lib/connect/connect_attempt.h"

namespace portreeve {
namespace {

// Sleeps for `delay`, or until `interrupt` is determined.
Task<> SleepUnlessInterrupted(Duration delay,
                              std::optional<Deferred<>> interrupt) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT
  if (interrupt) {
    co_await (Sleep(delay) || Await(*interrupt));
  } else {
    co_await Sleep(delay);
  }
}

absl::StatusOr<StreamSocket> ConnectToPeer(asio::io_context& loop,
                                           const Unix::Address& peer,
                                           const ConnectOptions& options,
                                           Descriptor& given) {
  if (!options.open) return ConnectUnix(loop, peer, Descriptor(), given);
  const auto file = options.open(peer);
  if (!file.ok()) return file.status();
  return ConnectUnix(loop, peer, *file, given);
}

}  // namespace

Task<Socket<Unix>> ConnectToFile(WhereToConnect<Unix> where,
                                 ConnectOptions options,
                                 std::optional<GivenSocket> given) {
  const Executor executor = co_await asio::this_coro::executor;
  const TimeSource& time = TimeSource::Of(executor);
  const TimePoint deadline = After(time.Now(), options.timeout);
  const Unix::Address peer(where.path);
  Descriptor given_fd;
  if (given) {
    auto taken = std::move(*given).Take();
    if (!taken.ok()) throw StatusError(taken.status());
    given_fd = *std::move(taken);
  }
  DoublingDelay delay;
  while (true) {
    auto socket = ConnectToPeer(LoopOf(executor), peer, options, given_fd);
    if (socket.ok()) {
      co_return Socket<Unix>(
          std::make_shared<SocketCore>(executor, *std::move(socket), peer));
    }
    if (!IsBacklogFull(socket.status())) throw StatusError(socket.status());
    const Duration left = deadline - time.Now();
    if (left <= Duration::zero()) {
      throw StatusError(ConnectTimeoutError(ToString(where)));
    }
    co_await SleepUnlessInterrupted(std::min<Duration>(left, delay.Next()),
                                    options.interrupt);
    if (options.interrupt && options.interrupt->determined()) {
      throw StatusError(ConnectInterruptedError(ToString(where)));
    }
  }
}

}  // namespace portreeve
