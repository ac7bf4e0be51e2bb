// Outbox: what the connections of a loop send and close in one round of its
// poller (docs/ARCHITECTURE.md says what a round is).
#ifndef PORTREEVE_LIB_LANE_OUTBOX_H_
#define PORTREEVE_LIB_LANE_OUTBOX_H_

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "lib/base/descriptor.h"

namespace portreeve {

// Takes messages, and sockets that are to be closed, while a round lasts, and
// sends and closes them at its end: all together with io_uring, where the
// kernel lets us, else one by one.  Each system call that sends, be it a FIN,
// wakes a receiver, who may take the CPU at once; together they cost a quarter
// less, and after all that was to be received even one by one a twentieth.
//
// What a Sender or a Closer throws goes to the top-level monitor.
//
// Nothing here waits: as with MSG_DONTWAIT, a socket takes what it can.
//
// Threads: loop thread only.
class Outbox {
 public:
  // Who sends a message.
  class Sender {
   public:
    // Called when `message` was sent: the kernel has taken its first `result`
    // bytes, or none, and `result` is -errno; both as send(2) has it.
    // `message` is valid within the call only.
    virtual void OnSent(ssize_t result, std::string_view message, int tag) = 0;

   protected:
    ~Sender() = default;
  };

  // Who wants to know that a socket is closed.
  class Closer {
   public:
    virtual void OnClosed() = 0;

   protected:
    ~Closer() = default;
  };

  // How many bytes a message has at most.
  static constexpr size_t kMostBytes = 16 * 1024;

  // Whether it may use io_uring; the other way is there for tests.
  enum class Way { kTogether, kOneByOne };

  explicit Outbox(Way way = Way::kTogether);
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;
  ~Outbox();

  // Called when a round begins and ends.  In between it takes what is to be
  // done at the end.
  void Begin() { open_ = true; }
  void End();

  // Gives kMostBytes of space for the next message; none where no message is
  // taken now, since no round is under way, or the outbox is full, out of
  // memory or just sending.  Unless Send() follows, the next one who asks gets
  // the same space.
  std::span<char> Space();
  // Sends the first `size` bytes of Space(), > 0, to `fd`, and then calls
  // `sender`.  Until then `fd` must stay open and `sender` must live: see
  // Settle().
  void Send(int fd, size_t size, Sender& sender, int tag);

  // Has the messages of `sender` sent, and `sender` called for them, within
  // this call: when it returns, none is left.
  void Settle(Sender& sender);

  // Closes `fd` at the end of the round, or at once where none is under way,
  // and then calls `closer`, which may be null.  No message for `fd` may be
  // left.
  void Close(Descriptor fd, std::shared_ptr<Closer> closer);

  // Whether io_uring is used, which it is not any more once the kernel has
  // refused it (a seccomp filter, or no memory for it).
  bool sends_together() const { return ring_ != nullptr; }

 private:
  class Ring;
  struct Task {
    int fd;
    int tag;
    std::string_view message;  // Empty: to close.
    Sender* sender;            // Null once it was told.
    std::shared_ptr<Closer> closer;
    ssize_t result;
  };

  bool HasRoom();
  void DoAll();
  static void DoNow(Task& task);
  static void Tell(Task& task);

  std::unique_ptr<Ring> ring_;  // Null: one by one.
  bool open_ = false;
  bool doing_ = false;
  // It has its full size from the beginning, but its memory is touched only as
  // far as it is used.
  std::unique_ptr<char[]> space_;
  size_t used_ = 0;
  std::vector<Task> tasks_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_LANE_OUTBOX_H_
