// Poller: reports which descriptors are ready, without an allocation or a
// system call for each wait.
#ifndef PORTREEVE_LIB_BASE_POLLER_H_
#define PORTREEVE_LIB_BASE_POLLER_H_

#include <sys/epoll.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "lib/base/handler_memory.h"
#include "lib/base/mailbox.h"

namespace portreeve {

namespace asio = boost::asio;

// It has an epoll instance of its own, beside Asio's, whose one descriptor Asio
// watches.  A descriptor is registered once, and its readiness is reported for
// as long as it lives; a wait with Asio costs an operation and an epoll_ctl(2)
// each time, and a coroutine that waits costs a frame.  What is ready is
// handled in rounds, of which one step of the loop may have several
// (docs/ARCHITECTURE.md says what a round and a step are).
//
// One for each io_context: Of() finds or makes it.  The loop has work while
// something is registered.
//
// Errors: what a Watch throws goes to the top-level monitor, and all others are
// called all the same, for epoll does not report an edge again.  Where epoll
// cannot be had, Of() throws a system_error.
//
// Threads: loop thread only, but for mailbox().
class Poller {
  static constexpr uint32_t kNone = UINT32_MAX;

 public:
  // Who is called when a descriptor is ready.
  class Watch {
   public:
    // `events` are epoll's (EPOLLIN and the like), or 0 after CallAgain() and
    // CallAfterRound(); `tag` is what was given with the descriptor.  The call
    // may register, remove and close anything, this watch included.
    virtual void OnReady(uint32_t events, int tag) = 0;

   protected:
    ~Watch() = default;

   private:
    friend class Poller;
    // The slots of the registrations with tag 0 and 1; kNone: there is none.
    uint32_t slots_[2] = {kNone, kNone};
    // By tag: whether it is to be called again.
    bool asked_again_[2] = {false, false};
  };

  // Who is called at the beginning and the end of each round, and of each time
  // that the Watches of CallAgain() are called.  The poller calls Watches only
  // between the two.
  class RoundWatch {
   public:
    virtual void OnRoundBegin() = 0;
    // It may call Watches itself.
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
  // no other registration of `watch` has the same.  Gives 0, or errno.
  // Lifetime: `watch` must live until Remove().
  int Add(int fd, uint32_t events, Watch& watch, int tag = 0);
  // Changes the events for which `fd` is registered with `watch` and `tag`.
  // Gives 0, or errno, and then nothing has changed.
  int Change(int fd, uint32_t events, Watch& watch, int tag = 0);
  // Registers `fd` with `to` and tag 0, in place of `from` and `tag`.  Gives 0,
  // or errno, and then nothing has changed.
  int Move(int fd, uint32_t events, Watch& from, int tag, Watch& to);
  // Ends the registration of `watch` with `tag`, and takes back every
  // CallAgain() and CallAfterRound() of `watch`.  The descriptor must be closed
  // right after the call.  By that epoll forgets it, unless another process
  // holds a copy: what epoll still reports of it then is thrown away.
  void Remove(Watch& watch, int tag = 0);
  // Does the same for a descriptor that is registered without EPOLLET, or that
  // another process goes on with.  If another process holds a copy, epoll would
  // be ready for ever, or report for as long as that lives; so this has epoll
  // forget `fd`, which must be open still.
  void RemoveNow(int fd, Watch& watch, int tag = 0);

  // Calls OnReady(0, tag) in the next step, once, however often it is asked.
  // Otherwise whoever is told of something and asks again each time would be
  // called the more often in a step the longer that goes on, and hold up all
  // others.  `tag` is 0 or 1.
  void CallAgain(Watch& watch, int tag = 0);

  // Calls OnReady(0, tag) once epoll was asked, and everything it had found was
  // reported: by then `watch` knows all that epoll knew of its descriptors.
  void CallAfterRound(Watch& watch, int tag = 0);

  // Has the step end with this round, of which it might have several: something
  // was posted to the loop that is due before epoll is asked again.
  void EndStep() { step_ends_ = true; }

  // Until GoOn() there is no round, and no Watch is called.  Whoever is ready
  // meanwhile, or has asked to be called, is called afterwards.  The loop goes
  // on with all else.  Both are idempotent, and take no memory; they must not
  // be called within a round.
  void Hold() { held_ = true; }
  void GoOn();

  // Counts how often epoll was asked.  A descriptor that is registered without
  // EPOLLET and is still ready is reported in the very next round.
  int64_t round() const { return round_; }

  // Null: nobody.
  // Lifetime: `watch` must live until another one is set.
  void SetRoundWatch(RoundWatch* watch) { round_watch_ = watch; }

  // It is drained in each round before what epoll has found is reported.
  Mailbox& mailbox() { return mailbox_; }

  // Keeps `object`, whose descriptor was removed, for as long as this round may
  // still call it; where there is no memory for more than kKeptAtLeast of them,
  // for ever.
  void KeepForThisStep(std::shared_ptr<void> object) noexcept;
  static constexpr size_t kKeptAtLeast = 256;

 private:
  using AsioDescriptor =
      asio::posix::basic_stream_descriptor<asio::io_context::executor_type>;
  // What the poller waits with, and is called again with.  It lives until the
  // loop has forgotten what it had to call, which is after the Poller.
  struct Memory {
    HandlerMemory wait, again, step, mail;
  };
  struct Again {
    Watch* watch;
    int tag;
  };
  // A registration.  What epoll reports carries its number and generation, for
  // a registration can outlive both the descriptor and the watch (fork(2)).
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
  void CallThoseAgainSoon();
  void Begin();
  void End();

  Memory& memory_;
  AsioDescriptor epoll_;
  Mailbox mailbox_;
  bool waiting_ = false;
  bool in_step_ = false;
  bool step_ends_ = false;
  bool held_ = false;
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
