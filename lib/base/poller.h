// Poller: readiness of descriptors, without an allocation or a system call for
// each wait.
#ifndef PORTREEVE_LIB_BASE_POLLER_H_
#define PORTREEVE_LIB_BASE_POLLER_H_

#include <sys/epoll.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "lib/base/handler_memory.h"
#include "lib/base/mailbox.h"

namespace portreeve {

namespace asio = boost::asio;

// An epoll instance of its own, beside Asio's, whose one descriptor Asio
// watches.  A descriptor is registered once and told of for as long as it
// lives; a wait with Asio costs an operation and an epoll_ctl(2) each time, and
// a coroutine that waits a frame.  What is ready is handled in one step of the
// loop.
//
// One for each io_context: Of() finds or makes it.  The loop has work while
// something is registered.
//
// Errors: what anybody throws who is told of something goes to the top-level
// monitor, and all others are told all the same: of an edge they would not hear
// again.  Where epoll cannot be had, Of() throws a system_error.
//
// Threads: loop thread only, but for mailbox().
class Poller {
  static constexpr uint32_t kNone = UINT32_MAX;

 public:
  // Whom to tell.
  class Watch {
   public:
    // `events` are epoll's (EPOLLIN ...), or 0 after CallAgain() and
    // CallAfterRound(); `tag` as given with the descriptor.  It may register,
    // remove and close anything, itself included.
    virtual void OnReady(uint32_t events, int tag) = 0;

   protected:
    ~Watch() = default;

   private:
    friend class Poller;
    // Of the registrations with tag 0 and 1; kNone: there is none.
    uint32_t slots_[2] = {kNone, kNone};
  };

  // Who is told of each round, and of each time that those are called that
  // asked for it: Watches are told of something in between only, but for what
  // they do out of turn.
  class RoundWatch {
   public:
    virtual void OnRoundBegin() = 0;
    // May call Watches itself.
    virtual void OnRoundEnd() = 0;

   protected:
    ~RoundWatch() = default;
  };

  static constexpr bool kEndsFirst = true;  // See OfLoop().

  static Poller& Of(asio::io_context& loop);

  explicit Poller(asio::io_context& loop);
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // Registers `fd` for `events`, which may have EPOLLET.  `tag` is 0 or 1, and
  // the only one of `watch` that has this value.
  // Gives 0, or errno.  Lifetime: `watch` until Remove().
  int Add(int fd, uint32_t events, Watch& watch, int tag = 0);
  // For other events from now on; `fd` is registered with `watch` and `tag`.
  // Gives 0, or errno, and then nothing has changed.
  int Change(int fd, uint32_t events, Watch& watch, int tag = 0);
  // `to` is told of `fd` from now on, with tag 0, in place of `from`.  Gives 0,
  // or errno, and then nothing has changed.
  int Move(int fd, uint32_t events, Watch& from, int tag, Watch& to);
  // `watch` is told nothing more of the descriptor with `tag`, nor what it has
  // asked for by CallAgain() and CallAfterRound().  The descriptor is to be
  // closed right after the call, by which epoll forgets it, unless another
  // process holds a copy: what is still heard of it then is thrown away.
  void Remove(Watch& watch, int tag = 0);
  // The same for a descriptor that is registered without EPOLLET: epoll would
  // be ready for ever for a copy that another process holds, so that it is told
  // to forget `fd`, which is open.
  void RemoveNow(int fd, Watch& watch, int tag = 0);

  // Calls OnReady(0, tag) in the next step.
  void CallAgain(Watch& watch, int tag = 0);

  // Calls OnReady(0, tag) once epoll was asked and all it found was told: what
  // is known of a descriptor by then, `watch` knows.
  void CallAfterRound(Watch& watch, int tag = 0);

  // What was posted to the loop is due before epoll is asked again: a step may
  // have several rounds.
  void EndStep() { step_ends_ = true; }

  // Counts how often epoll was asked.  What is registered without EPOLLET and
  // still ready is told of in the very next round.
  int64_t round() const { return round_; }

  // Null: nobody.  Lifetime: until it is set to something else.
  void SetRoundWatch(RoundWatch* watch) { round_watch_ = watch; }

  // Drained before what a round has found is told.
  Mailbox& mailbox() { return mailbox_; }

  // Keeps `object`, whose descriptor is removed, for as long as this step may
  // still tell it of something.
  void KeepForThisStep(std::shared_ptr<void> object);

 private:
  using AsioDescriptor =
      asio::posix::basic_stream_descriptor<asio::io_context::executor_type>;
  // What it waits with, and is called again with.  It lives until the loop has
  // forgotten what it is to call, which is after the Poller.
  struct Memory {
    HandlerMemory wait, again, step;
  };
  struct Again {
    Watch* watch;
    int tag;
  };
  // A registration.  What epoll tells carries its number and generation, for a
  // registration can outlive both the descriptor and the watch (fork(2)).
  struct Slot {
    Watch* watch = nullptr;  // Null: it is free.
    uint32_t generation = 0;
    uint32_t tag_or_next_free = 0;
  };

  uint64_t Key(uint32_t slot) const;
  uint32_t TakeSlot(Watch& watch, int tag);
  void FreeSlot(Watch& watch, int tag);
  void Tell(const epoll_event& event);
  void Await();
  void Step();
  void StepSoon();
  bool Round();
  int TellOfWhatIsReady();
  void CallThoseAgain();
  void CallThoseDue();
  void TellOne(Watch& watch, uint32_t events, int tag);
  void Begin();
  void End();

  Memory& memory_;
  AsioDescriptor epoll_;
  Mailbox mailbox_;
  bool waiting_ = false;
  bool in_step_ = false;
  bool step_ends_ = false;
  int num_registered_ = 0;
  std::deque<Slot> slots_;
  uint32_t free_slot_ = kNone;
  int64_t round_ = 0;
  RoundWatch* round_watch_ = nullptr;
  std::deque<Again> again_;
  bool again_posted_ = false;
  std::vector<Again> after_round_;  // Of CallAfterRound(), for the next one.
  std::vector<Again> due_;          // For this one; null: removed.
  bool step_posted_ = false;
  std::vector<std::shared_ptr<void>> kept_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_POLLER_H_
