// Pump: one direction of bytes between two sockets.
#ifndef PORTREEVE_SERVER_HANDLERS_PUMP_H_
#define PORTREEVE_SERVER_HANDLERS_PUMP_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "lib/base/descriptor.h"
#include "lib/base/time_source.h"
#include "lib/lane/lane.h"
#include "lib/lane/outbox.h"
#include "lib/lane/pipe_pool.h"
#include "server/handlers/frozen_connection.h"

namespace portreeve::server {

// Carries what a socket receives to another, or back to itself.  Small messages
// are copied through the outbox of the lane, and sent at the end of the round;
// from a source that sends much at a time they go through a pipe with
// splice(2), by which they are never copied.  Memory, or a pipe, is held only
// while there are bytes that the target has not taken, at most kMostHeld of
// them; until they have gone, no more is received.
//
// The urgent byte of TCP (MSG_OOB) is not among the bytes that are carried, as
// for every reader that does not ask for it; all bytes before and after it are.
//
// TCP_NODELAY is set on the target before something is sent to it for the
// second time: until then there is nothing in flight for which the kernel would
// hold a small segment back, and connections with one message are spared the
// system call.
//
// Threads: the lane's only.
class Pump {
 public:
  static constexpr size_t kMostHeld = 64 * 1024;

  // Gives how many bytes all pumps of the process hold as copies.
  // Threads: any.
  static int64_t held_in_memory();

  enum class State {
    kAwaitsSource,  // Nothing more to receive now.
    kSending,       // What was received is in the outbox: OnSent() is to come.
    kAwaitsTarget,  // The target takes no more now.
    kHasMore,       // There may be more: call Run() again in the next step.
    kEnded,         // The source's end of file was met, and all has gone.
    kSourceFailed,  // recv(2) failed, or epoll has reported an error.
    kTargetFailed,  // send(2) failed.
    kOutOfMemory,   // What the target did not take is lost for want of it.
  };

  // What a recv(2) that gives less than was asked for means.
  enum class ShortReads {
    kAreAll,   // There was no more, unless the source has urgent data.
    kMayStop,  // They may end where descriptors came with the bytes, too.
  };

  // What is to be done about TCP_NODELAY on the target.
  enum class NoDelay { kSet, kLeave };

  explicit Pump(ShortReads short_reads = ShortReads::kAreAll,
                NoDelay no_delay = NoDelay::kSet)
      : short_reads_are_all_(short_reads == ShortReads::kAreAll),
        no_delay_(no_delay == NoDelay::kLeave) {}
  Pump(const Pump&) = delete;
  Pump& operator=(const Pump&) = delete;

  // Takes what epoll has reported of the source.  With EPOLLERR the source has
  // failed: what had arrived before is still carried, but its end is no end of
  // file.  With EPOLLPRI it has urgent data, at which both recv(2) and
  // splice(2) stop.
  void NoteSource(uint32_t events);

  // Carries what it can, but not much more than kBytesPerStep.  Unless there
  // may be more, it need not be called again before epoll has reported one of
  // the descriptors.  `sender` and `tag` go to the outbox with what is put
  // there.
  State Run(Lane& lane, int source, int target, Outbox::Sender& sender,
            int tag = 0);
  // Does the same without receiving any more; gives kEnded when nothing is
  // held.  It must not be called while sending().
  State Flush(Lane& lane, int target);

  // Takes what the outbox has reported.  Gives whether Run() has to be called
  // again; false if all has gone, and there is nothing more to receive.
  bool OnSent(Lane& lane, ssize_t result, std::string_view message);

  // These are for when another process goes on with it.

  // Gives what it is; nothing changes by that.  It must not be sending().
  FrozenPump Freeze() const;
  // Gives the pipe, where bytes are held in one; else null.
  const Pipe* held_pipe() const;
  // Becomes what another one was, before anything else.  `read` and `write` are
  // the ends of its pipe, where it holds bytes in one.  Throws std::bad_alloc,
  // and then it must not be used.
  void Restore(const FrozenPump& frozen, Descriptor read, Descriptor write);
  // Closes its pipe, and forgets what it holds.
  void LetGo();

  // Whether the last state was kSending.
  bool sending() const { return in_outbox_ > 0; }

  // Give how many bytes were received, and given to the target.
  int64_t received() const { return received_; }
  int64_t sent() const { return received_ - static_cast<int64_t>(held()); }
  size_t held() const { return end_ - begin_ + in_outbox_; }
  // Whether the source's end of file was met.
  bool met_eof() const { return met_eof_; }
  // Whether sending to the target has failed.
  bool target_failed() const { return target_failed_; }

  // Gives since when the target has not taken what is held; nullopt if nothing
  // is held.
  const std::optional<TimePoint>& held_since() const { return held_since_; }

 private:
  // Memory that held_in_memory() counts.
  struct FreeCopy {
    void operator()(char* memory) const;
  };
  using HeldCopy = std::unique_ptr<char[], FreeCopy>;
  // Gives null where there is no memory.
  static HeldCopy MakeCopy(size_t size);

  static constexpr size_t kBytesPerStep = size_t{1} << 20;

  // Each gives the state in which Run() ends, or nullopt to go on.
  std::optional<State> SendHeld(Lane& lane, int target);
  std::optional<State> Copy(Lane& lane, int source, int target,
                            Outbox::Sender& sender, int tag);
  std::optional<State> Splice(Lane& lane, int source);
  bool TakeFromPipe(Lane& lane);
  std::optional<State> OnReceiveResult(ssize_t size);
  State FailTarget();
  void PrepareToSend(int target);
  void Hold(Lane& lane, std::string_view data);
  void NoteHeld(Lane& lane);
  void EndHold(Lane& lane);

  int64_t received_ = 0;
  // What is held is in copy_ from begin_ to end_, or is as many bytes in pipe_.
  uint32_t begin_ = 0;
  uint32_t end_ = 0;
  uint32_t in_outbox_ = 0;  // While it is, nothing else is held.
  HeldCopy copy_;
  std::unique_ptr<Pipe> pipe_;
  std::optional<TimePoint> held_since_;
  bool readable_ : 1 = false;  // As far as is known.
  bool hung_up_ : 1 = false;   // The end of file is there, behind what is left.
  // This is kept, for whoever learns of a failure takes it from the socket, and
  // what is received after that looks like an end of file.
  bool source_failed_ : 1 = false;
  bool met_eof_ : 1 = false;
  bool target_failed_ : 1 = false;
  bool out_of_memory_ : 1 = false;
  bool has_sent_ : 1 = false;
  bool bulk_ : 1 = false;         // The source sent much the last time.
  bool looks_later_ : 1 = false;  // In the next step, for more.
  bool splices_ : 1 = true;       // Whether it may.
  bool short_reads_are_all_ : 1;
  bool no_delay_ : 1;  // It is set on the target, or must not be.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HANDLERS_PUMP_H_
