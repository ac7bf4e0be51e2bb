// ConnectSock: DNS, Happy Eyeballs, timeout and interrupt over the attempts of
// connect_attempt.h.
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <cerrno>
#include <cstdint>
#include <list>
#include <memory>
#include <new>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "lib/base/latch.h"
#include "lib/base/status.h"
#include "lib/base/task_scope.h"
#include "lib/base/time_source.h"
#include "lib/connect/connect.h"
#include "lib/connect/connect_attempt.h"
#include "lib/connect/connect_file.h"
#include "lib/connect/extra_attempts.h"
#include "lib/connect/happy_eyeballs.h"
#include "lib/net/close_socket.h"
#include "lib/net/given_socket.h"

namespace portreeve {
namespace {

using Family = Resolver::Family;
using Addresses = std::vector<asio::ip::address>;

absl::Status NoMemoryError(const std::string& address) {
  return ErrnoError(ENOMEM, "connect", address);
}

// Gives the error that there is before anything has begun.
template <AddressKind A>
absl::Status CheckBeforehand(const WhereToConnect<A>& where,
                             const ConnectOptions& options) {
  if (absl::Status s = Validate(where); !s.ok()) return s;
  const BufferSizes sizes{options.reader_buffer_size,
                          options.writer_buffer_size};
  if (absl::Status s = Validate(sizes); !s.ok()) return s;
  if (options.interrupt && options.interrupt->determined()) {
    return ConnectInterruptedError(ToString(where));
  }
  if (options.timeout <= Duration::zero())
    return ConnectTimeoutError(ToString(where));
  return absl::OkStatus();
}

Family FamilyOf(const asio::ip::address& address) {
  return address.is_v6() ? Family::kV6 : Family::kV4;
}

Family FamilyOf(const GivenSocket& socket) {
  return socket.family() == AF_INET6 ? Family::kV6 : Family::kV4;
}

// Gives the error that there is where a socket is given that has to be bound.
absl::Status CheckSource(const WhereToConnect<Inet>& where,
                         const GivenSocket& given) {
  if (!where.bind_to_address && !where.bind_to_port) return absl::OkStatus();
  if (given.is_bound()) {
    return InvalidField(
        where.bind_to_address ? "bind_to_address" : "bind_to_port",
        absl::StrCat("must not be set for a socket that is bound, to ",
                     ToString(given.address())));
  }
  if (where.bind_to_address &&
      FamilyOf(Unmapped(*where.bind_to_address)) != FamilyOf(given)) {
    return InvalidField("bind_to_address", "is not of the socket's family");
  }
  return absl::OkStatus();
}
absl::Status CheckSource(const WhereToConnect<Unix>&, const GivenSocket&) {
  return absl::OkStatus();
}

template <AddressKind A>
absl::StatusOr<GivenSocket> CheckGiven(const WhereToConnect<A>& where,
                                       Descriptor socket) {
  auto given =
      GivenSocket::Check<A>(std::move(socket), GivenSocket::Use::kConnect);
  if (!given.ok()) return given;
  if (absl::Status s = CheckSource(where, *given); !s.ok()) return s;
  return given;
}

// One ConnectSock<Inet>: the lookups and attempts that run, until one of them,
// the timeout or the interrupt decides.
//
// Attempts are sockets with a handler each; a handler that comes after the
// decision finds its attempt gone.  Coroutines (the lookups, the wait for the
// interrupt) are in `scope_`, and have to be joined before the race goes.
class Race : public std::enable_shared_from_this<Race> {
 public:
  Race(Executor executor, WhereToConnect<Inet> where, ConnectOptions options,
       std::optional<GivenSocket> given)
      : executor_(executor),
        where_(std::move(where)),
        options_(std::move(options)),
        given_(std::move(given)),
        one_attempt_(given_.has_value()),
        address_(ToString(where_)),
        machine_(Families()),
        result_(ConnectTimeoutError(address_)),
        decided_(executor),
        timeout_(TimeSource::Of(executor)),
        timer_(TimeSource::Of(executor)),
        scope_(executor) {
    if (where_.bind_to_address) {
      where_.bind_to_address = Unmapped(*where_.bind_to_address);
    }
  }

  void Start() {
    timeout_.StartAfter(options_.timeout, [this] { End(); });
    if (options_.interrupt) scope_.Spawn(WatchInterrupt());
    error_code not_literal;
    const auto literal = asio::ip::make_address(where_.host, not_literal);
    if (!not_literal) {
      StartWithLiteral(Effective(literal));
      return;
    }
    for (Family family : Families()) scope_.Spawn(LookUp(family));
  }

  Deferred<> decided() const { return decided_.deferred(); }

  // Ends the race, unless it is decided.  Never throws.
  void Cancel() { End(); }

  // The scope of what still runs; after the decision that ends by itself.
  TaskScope& scope() { return scope_; }

  // Gives the result, once, after the decision.
  Socket<Inet> TakeResult() {
    if (!result_.ok()) throw StatusError(result_.status());
    auto core = std::make_shared<SocketCore>(
        executor_, std::move(result_->socket), result_->peer);
    if (result_->failure != 0) core->NoteError(result_->failure);
    return Socket<Inet>(std::move(core));
  }
  // Does that instead where nobody wants the result any more.
  void ThrowAwayResult() {
    if (result_.ok()) MakeCloseReset(result_->socket.native_handle());
  }

 private:
  struct Attempt {
    int64_t number;
    Inet::Address peer;
    StreamSocket socket;
    int failure = 0;  // Not 0: the peer has reset it since it was connected.
  };
  using Attempts = std::list<Attempt>;  // In the order of their beginnings.

  std::set<Family> Families() const {
    if (given_) return {FamilyOf(*given_)};
    if (!where_.bind_to_address) return {Family::kV4, Family::kV6};
    return {FamilyOf(Unmapped(*where_.bind_to_address))};
  }

  void StartWithLiteral(const asio::ip::address& address) {
    const Family family = FamilyOf(address);
    if (given_) {
      const absl::Status s = given_->CheckFamilyOf(EndpointOf(address));
      if (!s.ok()) return Decide(s);
    }
    if (Families().count(family) == 0) {
      Decide(InvalidField("bind_to_address",
                          absl::StrCat("is not of the family of ", address_)));
      return;
    }
    machine_ = HappyEyeballs({family});
    Perform(machine_.OnLookupDone(family, Admitted({address})));
  }

  Task<> WatchInterrupt() {
    const auto [ec] = co_await options_.interrupt->Wait(kTuple);
    if (!ec) Decide(ConnectInterruptedError(address_));
    // Without memory for the wait nobody could interrupt it.
    if (ec == asio::error::no_memory) Decide(NoMemoryError(address_));
  }

  Task<> LookUp(Family family) {
    Resolver& resolver = options_.resolver != nullptr
                             ? *options_.resolver
                             : Resolver::Of(LoopOf(executor_));
    Addresses addresses;
    absl::Status error;
    try {
      addresses = co_await resolver.Lookup(where_.host, family);
    } catch (...) {
      error = StatusOf(std::current_exception());
    }
    if (decided_.determined()) co_return;
    Perform(error.ok() ? machine_.OnLookupDone(family, Admitted(addresses))
                       : machine_.OnLookupFailed(family, error));
  }

  Addresses Admitted(const Addresses& addresses) {
    Addresses admitted;
    for (const asio::ip::address& found : addresses) {
      const asio::ip::address address = Effective(found);
      if (Families().count(FamilyOf(address)) == 0) continue;
      const absl::Status verdict = Admit(address);
      if (verdict.ok()) {
        admitted.push_back(address);
        if (one_attempt_) break;
      } else {
        machine_.NoteRefused(verdict);
      }
    }
    return admitted;
  }

  absl::Status Admit(const asio::ip::address& address) const {
    if (!options_.admit) return absl::OkStatus();
    try {
      return options_.admit(EndpointOf(address));
    } catch (...) {
      return StatusOf(std::current_exception());
    }
  }

  Inet::Address EndpointOf(const asio::ip::address& address) const {
    return Inet::Address(address, static_cast<uint16_t>(where_.port));
  }

  // Gives where the connection comes from, if that matters.
  std::optional<Inet::Address> SourceFor(const Inet::Address& peer) const {
    if (!where_.bind_to_address && !where_.bind_to_port) return std::nullopt;
    const Inet::Address any(peer.protocol(), 0);
    return Inet::Address(
        where_.bind_to_address.value_or(any.address()),
        static_cast<uint16_t>(where_.bind_to_port.value_or(0)));
  }

  void Perform(HappyEyeballs::Step step) {
    // A loop, since an attempt may fail at once.
    while (!decided_.determined()) {
      if (step.timer) {
        timer_.StartAfter(*step.timer, [this] { Perform(machine_.OnTimer()); });
      }
      if (step.give_up) {
        Decide(machine_.error().ok() ? NoAddressError(address_)
                                     : machine_.error());
      }
      if (!step.start) return;
      const bool may_run_beside = attempts_.empty() || extra_.Take();
      const absl::Status error = Begin(EndpointOf(*step.start));
      if (error.ok()) {
        if (!may_run_beside) EndOldest();
        return;
      }
      GiveBackExtra();
      step = machine_.OnAttemptFailed(error);
    }
  }

  // Where no further attempt may run beside others, the oldest one, which has
  // had its time, makes room for one that has begun; unless it is connected,
  // and the loop has only not learned of that yet.
  void EndOldest() {
    const auto oldest = attempts_.begin();
    const auto outcome =
        EndConnect(oldest->socket, oldest->peer, &oldest->failure);
    if (outcome && outcome->ok()) return Decide(std::move(*oldest));
    machine_.OnAttemptDropped();
    if (!outcome) MakeCloseReset(oldest->socket.native_handle());
    attempts_.erase(oldest);
  }

  void GiveBackExtra() {
    extra_.KeepAtMost(std::max(0, static_cast<int>(attempts_.size()) - 1));
  }

  absl::Status Begin(const Inet::Address& peer) {
    Descriptor given;
    if (given_) {
      auto taken = std::move(*given_).Take();
      if (!taken.ok()) return taken.status();
      given = *std::move(taken);
    }
    absl::StatusOr<StreamSocket> socket;
    const auto connect = [&] {
      socket = BeginConnect(LoopOf(executor_), peer, SourceFor(peer),
                            options_.socket_options, std::move(given));
      return socket.ok() ? socket->native_handle() : -1;
    };
    if (options_.around_connect) {
      options_.around_connect(peer, connect);
    } else {
      connect();
    }
    if (!socket.ok()) return socket.status();
    attempts_.push_back(Attempt{++last_attempt_, peer, *std::move(socket), 0});
    Await(attempts_.back());
    return absl::OkStatus();
  }

  void Await(Attempt& attempt) {
    attempt.socket.async_wait(
        StreamSocket::wait_write,
        [weak = weak_from_this(), number = attempt.number](error_code ec) {
          const auto race = weak.lock();
          if (ec || !race || race->decided_.determined()) return;
          // The attempt may be gone, as it may be after a decision.
          Attempts& attempts = race->attempts_;
          const auto is_it = [number](const Attempt& a) {
            return a.number == number;
          };
          const auto it = std::find_if(attempts.begin(), attempts.end(), is_it);
          if (it != attempts.end()) race->OnWritable(it);
        });
  }

  void OnWritable(Attempts::iterator attempt) {
    const auto outcome =
        EndConnect(attempt->socket, attempt->peer, &attempt->failure);
    if (!outcome) {
      Await(*attempt);
    } else if (outcome->ok()) {
      Decide(std::move(*attempt));
    } else {
      attempts_.erase(attempt);
      GiveBackExtra();
      Perform(machine_.OnAttemptFailed(*outcome));
    }
  }

  void Decide(absl::StatusOr<Attempt> result) {
    if (decided_.determined()) return;
    result_ = std::move(result);
    End();
  }

  // Decides for the result that there is, which at first is that it was too
  // late.  It needs no memory.
  void End() {
    if (!decided_.FillIfEmpty()) return;
    // An attempt that is connected by now, and given up, does not count as one
    // that has ended.
    for (Attempt& attempt : attempts_) {
      if (attempt.socket.is_open()) {
        MakeCloseReset(attempt.socket.native_handle());
      }
    }
    attempts_.clear();
    GiveBackExtra();
    given_.reset();
    timeout_.Cancel();
    timer_.Cancel();
    scope_.Cancel();
  }

  const Executor executor_;
  WhereToConnect<Inet> where_;
  const ConnectOptions options_;
  std::optional<GivenSocket> given_;
  const bool one_attempt_;  // Since a socket is given.
  const std::string address_;
  HappyEyeballs machine_;
  absl::StatusOr<Attempt> result_;
  const Ivar<> decided_;
  Attempts attempts_;
  int64_t last_attempt_ = 0;
  ExtraAttempts extra_;  // Those of `attempts_` but the first one.
  Timer timeout_;
  Timer timer_;  // The HappyEyeballs machine's.
  TaskScope scope_;
};

Task<Socket<Inet>> ConnectInet(WhereToConnect<Inet> where,
                               ConnectOptions options,
                               std::optional<GivenSocket> given) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto race = std::make_shared<Race>(
      executor, std::move(where), std::move(options), std::move(given));
  Latch joined(executor);
  // Until all has ended that refers to the race, cancellation ends only the
  // wait.
  const bool throws = co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  std::exception_ptr no_memory;
  try {
    race->Start();
    const auto [ec] = co_await race->decided().Wait(kTuple);
    if (ec == asio::error::no_memory) throw std::bad_alloc();
  } catch (...) {
    // One of the race's coroutines may run already.
    no_memory = std::current_exception();
  }
  race->Cancel();
  race->scope().OpenWhenEmpty(joined);
  co_await joined.Wait();
  co_await asio::this_coro::throw_if_cancelled(throws);
  if (no_memory) std::rethrow_exception(no_memory);
  const auto cancellation = co_await asio::this_coro::cancellation_state;
  if (cancellation.cancelled() != asio::cancellation_type::none) {
    race->ThrowAwayResult();
    throw boost::system::system_error(asio::error::operation_aborted);
  }
  co_return race->TakeResult();
}

}  // namespace

template <AddressKind A>
Task<Socket<A>> ConnectSock(WhereToConnect<A> where, ConnectOptions options,
                            std::optional<Descriptor> socket) {
  const absl::Status status = CheckBeforehand(where, options);
  if (!status.ok()) throw StatusError(status);
  std::optional<GivenSocket> given;
  if (socket) {
    auto checked = CheckGiven(where, *std::move(socket));
    if (!checked.ok()) throw StatusError(checked.status());
    given = *std::move(checked);
  }
  if constexpr (std::is_same_v<A, Unix>) {
    co_return co_await ConnectToFile(std::move(where), std::move(options),
                                     std::move(given));
  } else {
    co_return co_await ConnectInet(std::move(where), std::move(options),
                                   std::move(given));
  }
}

template Task<Socket<Inet>> ConnectSock(WhereToConnect<Inet>, ConnectOptions,
                                        std::optional<Descriptor>);
template Task<Socket<Unix>> ConnectSock(WhereToConnect<Unix>, ConnectOptions,
                                        std::optional<Descriptor>);

}  // namespace portreeve
