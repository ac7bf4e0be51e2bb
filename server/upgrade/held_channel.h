// HeldChannel: the socket between two processes of a daemon, after the change.
#ifndef PORTREEVE_SERVER_UPGRADE_HELD_CHANNEL_H_
#define PORTREEVE_SERVER_UPGRADE_HELD_CHANNEL_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "lib/base/descriptor.h"
#include "lib/base/loop.h"
#include "lib/base/poller.h"
#include "lib/base/time_source.h"
#include "portreeve/internal/v1/handover.pb.h"
#include "server/handover/handover_channel.h"
#include "server/handover/handover_peer.h"
#include "server/registry/held_connection.h"
#include "server/registry/registry.h"
#include "server/registry/shared.h"

namespace portreeve::server {

// Sends and receives without waiting: what the other process does not take yet
// waits here.
// Threads: loop thread only.
class HeldChannel final : private Poller::Watch {
 public:
  class Owner {
   public:
    virtual void OnMessage(const Handover& message,
                           std::vector<Descriptor> descriptors) = 0;
    // A message was lost: there was no room for its descriptor, or it cannot be
    // understood.
    virtual void OnLost() {}
    // The channel is about to end, though the other process may be there, and
    // hear what is sent within this call.
    virtual void OnFailing() {}
    // The other process has ended; or, with `has_failed`, it may be there, and
    // cannot be reached any more.  Nothing is sent or received from now on.
    virtual void OnEnd(bool has_failed) = 0;

   protected:
    ~Owner() = default;
  };

  HeldChannel(Loop& loop, HandoverChannel channel, Owner& owner);
  HeldChannel(const HeldChannel&) = delete;
  HeldChannel& operator=(const HeldChannel&) = delete;
  ~HeldChannel();

  // Begins to receive, and to send what waits by then; OnEnd() may be called
  // within this call.
  void Start();
  // The same where the other process cannot be heard any more
  // (HandoverChannel::RefuseMore()), but hears: OnMessage() is never called.
  void StartDeaf();
  void Send(Handover message);
  // Sends `fd`, the socket of a connection, too.  It is closed once it is on
  // its way; where that never is, its peer is reset.
  void Send(Handover message, Descriptor fd);
  bool has_ended() const { return ended_; }
  // For tests; until the end.
  int native_handle() const { return channel_->native_handle(); }
  // Whether nothing waits.
  bool is_sent() const { return waiting_.empty(); }

 private:
  struct Waiting {
    Handover message;
    Descriptor fd;  // Closed where the message has none.
  };

  void OnReady(uint32_t events, int tag) override;
  void Watch(bool hears);
  void Receive();
  void SendWaiting();
  // Also tells the owner.
  void Fail(bool has_failed);
  void End();

  Poller& poller_;
  std::optional<HandoverChannel> channel_;  // Until the end.
  Owner& owner_;
  std::deque<Waiting> waiting_;
  bool hears_ = false;
  bool watched_ = false;
  bool ended_ = false;
};

// In the process that has handed over: tells the other one of the connections
// that are left, and closes those that it says.
// Threads: loop thread only, but for the constructor.
class HeldReporter final : public ConnectionReports,
                           private HeldChannel::Owner {
 public:
  // How often the bytes of a connection are told, at most.
  static constexpr std::chrono::seconds kInterval{1};

  // `on_drain_now` is called where the other process wants no connection to be
  // waited for any longer.
  HeldReporter(Loop& loop, Registry& registry,
               std::function<void()> on_drain_now);
  ~HeldReporter();

  // Begins; it may come after the first reports, which wait until then.  With
  // `is_deaf` the other process cannot be heard any more: it closes nothing.
  void Start(HandoverChannel channel, bool is_deaf);
  // Whether the other process is there.
  bool has_successor() const { return channel_ != nullptr; }
  bool is_sent() const { return channel_ == nullptr || channel_->is_sent(); }

  void OnClosed(const LiveConnection& live) override;
  void OnHandlerError(int64_t id, const std::string& listener,
                      const std::string& uid, const std::string& message,
                      std::optional<HandlerErrorOutcome> outcome) override;
  bool TakesMore() const override;
  void OnMovedOn(internal::v1::HandoverMovedOn record,
                 const std::string& to_write, Descriptor fd) override;

 private:
  struct Early {
    Handover message;
    Descriptor fd;
  };

  void OnMessage(const Handover& message,
                 std::vector<Descriptor> descriptors) override;
  void OnEnd(bool has_failed) override;
  void Send(Handover message);
  void TellProgress();

  Loop& loop_;
  Registry& registry_;
  const std::function<void()> on_drain_now_;
  std::unique_ptr<HeldChannel> channel_;
  std::deque<Early> early_;  // Before Start().
  bool started_ = false;
  std::map<int64_t, HeldCounts> told_;  // Of each connection, at last.
  Timer timer_;
};

// In the process that has taken over: knows of the connections of the other one
// what that tells.
// Threads: loop thread only.
class HeldFollower final : public ConnectionHolder, private HeldChannel::Owner {
 public:
  // `on_end` is called when the other process has ended, or has no more of
  // them.  `peer` is that process, and is killed if it is still there after
  // `most`: it does nothing then, and its connections keep others out.  Where
  // it cannot be followed it is told to end, since nobody knows of them then.
  HeldFollower(Loop& loop, Registry& registry, HandoverChannel channel,
               std::optional<HandoverPeer> peer, Duration most,
               std::function<void()> on_end);
  ~HeldFollower();

  void Start();
  // Whether the other process is there.
  bool is_there() const { return !channel_.has_ended(); }
  // Has it wait for its connections no longer.
  void DrainNow();

  void Close(int64_t id, ExistingConnections how, CloseReason reason) override;

 private:
  void OnMessage(const Handover& message,
                 std::vector<Descriptor> descriptors) override;
  void OnLost() override;
  void OnFailing() override { DrainNow(); }
  void OnEnd(bool has_failed) override;

  Registry& registry_;
  // What waits for the peer of the connection `bytes_of_`, which comes next.
  int64_t bytes_of_ = 0;
  std::string bytes_;
  std::optional<HandoverPeer> peer_;
  const Duration most_;
  bool has_failed_ = false;
  const std::function<void()> on_end_;
  HeldChannel channel_;
  Timer overdue_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_UPGRADE_HELD_CHANNEL_H_
