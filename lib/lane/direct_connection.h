// DirectConnection: a client that is served without a coroutine, on its
// descriptor itself.
#ifndef PORTREEVE_LIB_LANE_DIRECT_CONNECTION_H_
#define PORTREEVE_LIB_LANE_DIRECT_CONNECTION_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "lib/base/descriptor.h"
#include "lib/base/mailbox.h"
#include "lib/base/poller.h"
#include "lib/base/time_source.h"
#include "lib/lane/frozen_direct.h"
#include "lib/lane/lane.h"
#include "lib/lane/outbox.h"
#include "lib/net/any_connection.h"
#include "lib/net/buffer_age_limit.h"
#include "lib/net/lingering_socket.h"
#include "lib/net/tcp_info.h"

namespace portreeve {

// The base class of handlers that have an object for each client in place of a
// coroutine: no frame, no buffer and no operation waits while there is nothing
// to do.
//
// It belongs to two loops, which may be one: that of its server and that of its
// lane (docs/ARCHITECTURE.md says what a lane, a round and a step are).  On the
// server's loop it is made, described, closed and destroyed; on the lane's loop
// its bytes are carried, and it ends.  Between them go only messages, and the
// reason and the counts, which are atomic.
//
// Threads: public methods belong to the server's loop, protected ones to the
// lane's loop unless they say otherwise.
class DirectConnection : public AnyConnection,
                         public std::enable_shared_from_this<DirectConnection>,
                         protected Poller::Watch,
                         private Mailbox::Message,
                         private Outbox::Closer {
 public:
  // The server.  It is called on its loop, and outlives the connection.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual Lane& home() = 0;
    // Called when the descriptor is closed; reason and counts are final.
    // `error_number` is not 0 if it never could be watched.
    virtual void OnDirectClosed(DirectConnection& connection,
                                int error_number) = 0;
  };

  // What the server knows when it has accepted a client.
  struct Accepted {
    Owner& owner;
    Lane& lane;
    Descriptor fd;  // Non-blocking, and without TCP_NODELAY.
    AnyAddress peer;
    AnyAddress local;
    BufferAgeLimit buffer_age_limit;
    int descriptors;  // How many were taken from the server's budget.
    // Whether TCP_NODELAY must be set before a second message is sent.
    bool sets_no_delay;
  };

  explicit DirectConnection(Accepted accepted);
  // Makes one that another process has frozen, and that has its id; Resume()
  // takes the place of Watch() and Start().  Nothing is done to the descriptor
  // but that it is closed, and that by LetGo() only.
  DirectConnection(Accepted accepted, const FrozenDirect& frozen);
  ~DirectConnection() override;

  const AnyAddress& peer() const final { return peer_; }
  const AnyAddress& local() const final { return local_; }
  int64_t bytes_received() const final { return Load(bytes_received_); }
  int64_t bytes_sent() const final { return Load(bytes_sent_); }
  size_t bytes_to_write() const final { return Load(bytes_to_write_); }
  CloseReason reason() const final { return Load(reason_); }
  bool is_open() const final { return !closed_; }
  Deferred<> closed() const final;
  Deferred<> Close(ExistingConnections how, CloseReason reason) final;
  void AskTcpInfo(const TakeTcpInfo& take) final;

  // Has the lane watch the descriptor, if the lane is the server's own.  Gives
  // 0, or errno where that is not possible.  Called once, before anybody hears
  // of the connection.
  int Watch();
  // Serves the client, from now on, unless the connection was closed before.
  // Called once, after Watch().
  void Start();
  // Closes the connection at once, in place of Start().
  void Refuse(CloseReason reason);

  // These are called while the loops stand still (LoopGroup::Freeze()).

  // Has the lane watch the descriptors of one that another process has frozen,
  // and go on with it, once it runs.  Until then only the kernel's epoll knows
  // of that.  Gives 0; or errno, and LetGo() has to be called.
  int Resume();
  // Lets go of the connection, with which another process goes on: epoll
  // forgets the descriptors, and they are closed, by nothing but close(2).  The
  // owner is not told.  Who waits for closed() waits no longer, though the
  // connection lives on.  It must not be finished.
  void LetGo();

  Lane& lane() const { return lane_; }
  int descriptors() const { return descriptors_; }

 protected:
  // Called to begin to serve; the descriptor is watched already.
  virtual void Begin() {}
  // One of these is called in the end, unless the connection has finished
  // before.  CloseInOrder() is called once at most; it has to flush what there
  // is by force_close_at(), and then to call Finish(); `reason` says why.
  // CloseWithReset() may follow it.
  virtual void CloseInOrder(CloseReason reason) = 0;
  virtual void CloseWithReset() = 0;
  // Called when the time of RingAt() has come.
  virtual void OnRing(TimePoint now) = 0;

  // Gives what this class knows of a connection with which another process can
  // go on, while the loops stand still; nothing where it has finished, or a
  // close of it is on its way here.  Nothing changes by that.
  std::optional<FrozenDirect> FreezeDirect() const;
  // Called by Resume(), when the connection's own descriptor is watched: has
  // the others watched, and sets what has to ring.  Gives 0, or errno.
  // OnReady(0, 0) is called in the next step.
  virtual int OnResume() { return 0; }
  // Called by LetGo(): lets go of whatever else there is in the same way.
  virtual void OnLetGo() {}

  enum class How {
    // FIN is sent.  Where the peer sends on, what comes is thrown away until
    // the peer has all that was sent, by force_close_at() or, where
    // CloseInOrder() was not called, for 30 s: if the peer has not by then, it
    // is reset, and the reason is FORCED.
    kInOrder,
    kAtOnce,    // FIN; the kernel does what it can with what was sent.
    kAfterEnd,  // The same where the peer has sent FIN, which was read.
    kReset,     // RST.
  };
  // Another descriptor of the connection, which is closed with it.
  struct Other {
    Descriptor fd;  // May be none.
    How how = How::kReset;
    bool is_unix = false;
    bool is_watched = false;  // Registered with the poller, with tag 1.
    int64_t bytes_received = 0;
  };
  // Closes the descriptors, during a round of the poller at the end of the
  // round, and calls the server once all are closed.  The object may be used
  // until the end of the step.
  void Finish(How how) { Finish(how, Other()); }
  void Finish(How how, Other other);
  // Whether Finish() was called.  No virtual function is called after that.
  bool finished() const { return finished_; }

  // Whether CloseInOrder() was called, and by when what is not flushed is lost.
  bool closing() const { return closing_; }
  TimePoint force_close_at() const { return force_close_at_; }

  int fd() const { return fd_.get(); }
  const BufferAgeLimit& buffer_age_limit() const { return buffer_age_limit_; }
  bool sets_no_delay() const { return sets_no_delay_; }

  // Keep `reason`: the first one unless there is one already, the second one in
  // any case, for bytes that were lost.
  void NoteReason(CloseReason reason);
  void OverruleReason(CloseReason reason) { Store(reason_, reason); }

  void SetReceived(int64_t bytes) { Store(bytes_received_, bytes); }
  void SetSent(int64_t bytes) { Store(bytes_sent_, bytes); }
  void SetToWrite(size_t bytes) { Store(bytes_to_write_, bytes); }

  // Has EPOLLOUT reported from now on, in the next round where the socket is
  // writable already.  Gives false if that is not possible.
  bool WatchWritable();

  // Has OnRing() called at `when`, or earlier.  A call that was set for later
  // is forgotten, one for earlier stays: whoever is called has to look at what
  // is due.
  void RingAt(TimePoint when);

  // Has OnReady(0, tag) called in the next step.  Gives false where there is no
  // memory for that: the connection cannot go on then.
  bool CallAgain(int tag = 0);

  // Calls `f` on the server's loop: within this call, if that is the lane's.
  // Throws std::bad_alloc, and has no effect, where there is no memory to send
  // it there.
  template <typename F>
  void TellHome(F f) {
    if (at_home()) return f();
    owner_.home().poller().mailbox().Send([] {}, std::move(f));
  }

  // The events of a descriptor are edge-triggered: what was reported once needs
  // no system call to be reported again.  Urgent data is reported, since reads
  // stop there.
  static constexpr uint32_t kReadable =
      EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET;

 private:
  class Lingering;
  class TcpInfoQuestion;
  // These are written by one thread, and read by another that needs no order.
  template <typename T>
  static T Load(const std::atomic<T>& value) {
    return value.load(std::memory_order_relaxed);
  }
  template <typename T>
  static void Store(std::atomic<T>& value, T to) {
    value.store(to, std::memory_order_relaxed);
  }

  bool at_home() const { return &lane_ == &owner_.home(); }
  int WatchOnLane();
  void BeginOnLane();
  void CloseOnLane(ExistingConnections how, CloseReason reason);
  std::optional<TcpInfo> TcpInfoOnLane() const;
  static void PrepareToClose(const Descriptor& fd, How how);
  static CloseStep BeginToClose(const Descriptor& fd, How how, bool is_unix,
                                int64_t bytes_received);
  void OnLingeringEnded(Descriptor fd, const LingerResult& result,
                        bool is_other);
  void NoteEnd(const LingerResult& result, bool is_other);
  void CloseAndTell(Descriptor first, Descriptor last, int error_number);
  // Is Outbox::Closer's.  Called on the server's loop.
  void OnClosed() override;
  // Is Mailbox::Message's, for a lane that is not the server's.
  void OnArrival() override { OnClosed(); }

  Owner& owner_;
  Lane& lane_;
  const AnyAddress peer_;
  const AnyAddress local_;
  const BufferAgeLimit buffer_age_limit_;
  const int descriptors_;
  const bool sets_no_delay_;
  std::atomic<int64_t> bytes_received_{0};
  std::atomic<int64_t> bytes_sent_{0};
  std::atomic<size_t> bytes_to_write_{0};

  // These belong to the server's loop.
  bool closed_ = false;
  // How many calls of CloseOnLane() are on their way to another loop.
  std::atomic<uint32_t> num_closes_sent_{0};
  mutable std::unique_ptr<const Ivar<>> closed_ivar_;  // Once asked for.

  // These belong to the lane's.
  std::atomic<CloseReason> reason_{CloseReason::kNone};
  Descriptor fd_;
  int error_number_ = 0;  // For the server, once it is closed.
  bool watched_ = false;  // Registered with the poller, with tag 0.
  bool watches_writable_ = false;
  bool closing_ = false;
  bool finished_ = false;
  std::unique_ptr<Timer> timer_;  // Once needed.
  TimePoint ring_at_;
  TimePoint force_close_at_;
  std::unique_ptr<Lingering> lingering_;  // Once finished, if some do.
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_LANE_DIRECT_CONNECTION_H_
