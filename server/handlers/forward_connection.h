// ForwardConnection: a client's connection to an upstream.
#ifndef PORTREEVE_SERVER_HANDLERS_FORWARD_CONNECTION_H_
#define PORTREEVE_SERVER_HANDLERS_FORWARD_CONNECTION_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/asio.h"
#include "lib/base/deferred.h"
#include "lib/base/delay_queue.h"
#include "lib/base/descriptor.h"
#include "lib/base/doubling_delay.h"
#include "lib/base/time_source.h"
#include "lib/connect/connect.h"
#include "lib/net/address.h"
#include "lib/net/buffer_age_limit.h"
#include "lib/net/close_reason.h"
#include "lib/net/socket.h"
#include "server/handlers/forward_errors.h"
#include "server/handlers/forward_loops.h"
#include "server/handlers/forward_route.h"
#include "server/handlers/frozen_connection.h"
#include "server/handlers/pumped_connection.h"

namespace portreeve::server {

// Two sockets, and a flow each way, once the upstream is connected.
class ForwardConnection final : public PumpedConnection,
                                private DelayQueue::Entry {
 public:
  ForwardConnection(Accepted accepted,
                    std::shared_ptr<const ForwardRoute> route);
  // One that comes from another process; Restore() is next.
  ForwardConnection(Accepted accepted, const FrozenDirect& direct,
                    std::shared_ptr<const ForwardRoute> route);

  // Becomes what another one was; `others` begin with the upstream, if it has a
  // socket.
  void Restore(const FrozenForward& frozen, std::vector<Descriptor> others);

  // One that has to do with other listeners of the daemon stays.  What others
  // could have known of one that merely might, as to a port that a listener has
  // elsewhere, is lost: what leads back by that goes round once more.
  std::optional<Moving> Freeze() const override;

  // Gives ForwardConnectTime().
  std::optional<Duration> connect_time() const {
    if (connect_micros_ == kNotTimed) return std::nullopt;
    return std::chrono::microseconds(connect_micros_);
  }

 private:
  static constexpr uint32_t kNotTimed = std::numeric_limits<uint32_t>::max();
  enum class State : uint8_t { kConnecting, kConnected };
  struct Retry {
    DoublingDelay delay;
    TimePoint at;
  };
  // What is known of connecting by name.
  struct ByName {
    std::optional<Inet::Address> tried;  // The last one.
    absl::Status led_back;               // Of one that was left out for that.
    std::exception_ptr error;
  };

  using SharedAddress = std::shared_ptr<const AnyAddress>;
  // Why the upstream was not reached, and the last address that was tried; null
  // where none was.
  struct Unreached {
    absl::Status why;
    SharedAddress tried;
  };

  std::shared_ptr<ForwardConnection> Self() {
    return std::static_pointer_cast<ForwardConnection>(shared_from_this());
  }

  // These connect (forward_connecting.cc).

  void Begin() override;
  void Connect();

  // Whether the client is a connection of the daemon's that has come through
  // here before.
  bool HasComeBack();

  // Gives the trail, for an upstream that may be a listener of the daemon's.
  ForwardTrail& Trail();
  bool MayBeListener(int port) const;

  void ConnectTo(const Inet::Address& peer);

  // Gives the file to connect to; none where options.open is not there to ask.
  absl::StatusOr<Descriptor> Open(const Unix::Address& peer) const;

  // Gives what a listener of the daemon's at `peer`, whose file is `file`,
  // would be known by; nothing where there can be none.
  std::optional<ForwardLoops::UnixSocket> MaybeListener(
      const Unix::Address& peer, const Descriptor& file) const;

  void ConnectTo(const Unix::Address& peer);

  // Connects to names, and to whatever else takes several steps.
  static Task<> ConnectByName(std::shared_ptr<ForwardConnection> self,
                              std::shared_ptr<const ForwardRoute> route,
                              Deferred<> interrupt);

  // Notes which addresses are tried; and watches attempts that may reach
  // listeners of the daemon's, so that an address that leads back is left out.
  void Watch(ByName& attempt, ConnectOptions& connect, int port);

  static Unreached WhyNot(const ByName& attempt, const ForwardRoute& route);
  void OnConnectedByName(SocketCore& socket);

  // Gives false where that has ended the connection.
  bool WatchUpstream(const SharedAddress& address);
  void OnConnectEvent(uint32_t events);
  void OnConnected(SharedAddress peer);
  void NoteConnectTime();
  void NoteConnectTime(Duration time);

  // Keepalive is not set earlier: most connections do not get as old, and are
  // spared four system calls; the first probe is due after a minute.
  void OnDelayOver() override;

  // Ends the connection, for what `unreached` says.
  void OnUnreached(absl::FunctionRef<Unreached()> unreached);
  template <typename Address>
  void OnLedBack(const Address& to) {
    OnUnreached([&] { return Unreached{LedBackError(ToString(to)), nullptr}; });
  }
  void OnConnectFailed(int error_number);
  void OnTimeout();

  // These carry bytes (forward_connection.cc).

  void OnReady(uint32_t events, int tag) override;
  void OnRing(TimePoint now) override;
  std::span<Flow> flows() override { return flows_; }
  int DescriptorOf(Side side) const override {
    return side == kClient ? fd() : upstream_.get();
  }
  const BufferAgeLimit& AgeLimitOf(size_t flow) const override {
    return flow == kClient ? route_->options.buffer_age_limit
                           : buffer_age_limit();
  }
  CutOff cut_off() const override { return CutOff::kIsReset; }

  // These end the connection.

  void CloseInOrder(CloseReason reason) override;
  void FinishSides(How client, How upstream) override;

  // These are of one that goes to, or comes from, another process.

  int OnResume() override;
  void OnLetGo() override;

  bool connected() const { return state_ == State::kConnected; }

  const std::shared_ptr<const ForwardRoute> route_;
  Descriptor upstream_;
  std::array<Flow, 2> flows_;                // From the client, and to it.
  std::unique_ptr<const Ivar<>> interrupt_;  // While it connects by name.
  std::unique_ptr<Retry> retry_;             // While a backlog is full.
  // Not null where it may have to do with other listeners of the daemon.
  std::unique_ptr<ForwardTrail> trail_;
  TimePoint connect_by_;
  State state_ = State::kConnecting;
  bool upstream_watched_ = false;
  bool keepalive_is_due_ = false;  // Of one that was moved, until OnResume().
  uint32_t connect_micros_ = kNotTimed;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HANDLERS_FORWARD_CONNECTION_H_
