// Outbox: what the connections of a loop send in one round of its poller.
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
// What those throw that are told goes to the top-level monitor.
//
// Nothing of it waits: as with MSG_DONTWAIT, a socket takes what it can.
//
// Threads: one, its loop's.
class Outbox {
 public:
  // Whose messages they are.
  class Sender {
   public:
    // The kernel has taken the first `result` bytes of `message`, or none, and
    // `result` is -errno; both as send(2) has it.  `message` is valid within
    // the call only.
    virtual void OnSent(ssize_t result, std::string_view message, int tag) = 0;

   protected:
    ~Sender() = default;
  };

  // Whose socket is closed.
  class Closer {
   public:
    virtual void OnClosed() = 0;

   protected:
    ~Closer() = default;
  };

  // The most that a message has.
  static constexpr size_t kMostBytes = 16 * 1024;

  // Whether it may use io_uring; the other way is there for tests.
  enum class Way { kTogether, kOneByOne };

  explicit Outbox(Way way = Way::kTogether);
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;
  ~Outbox();

  // A round begins, from which it takes what is to be done at the end.
  void Begin() { open_ = true; }
  void End();

  // Where the next message is to be put, kMostBytes; empty where none is taken
  // now, since the outbox is out of a round, full, or just sending.  Without
  // Send(), it is given to the next one who asks.
  std::span<char> Space();
  // The first `size` bytes of Space(), > 0, go to `fd`; `sender` is told.
  // Until then `fd` stays open and `sender` alive: see Settle().
  void Send(int fd, size_t size, Sender& sender, int tag);

  // When it returns, no message of `sender` is left.
  void Settle(Sender& sender);

  // Closes `fd`, at once out of a round; nothing of it is to be sent any more.
  // `closer`, which may be null, is told.
  void Close(Descriptor fd, std::shared_ptr<Closer> closer);

  // Whether io_uring is used.  It is not any more once the kernel has refused
  // it (a seccomp filter, or no memory for it).
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

  void DoAll();
  static void DoNow(Task& task);
  static void Tell(Task& task);

  std::unique_ptr<Ring> ring_;  // Null: one by one.
  bool open_ = false;
  bool doing_ = false;
  // Grows with what is put there; its memory is touched as far as it is used.
  std::unique_ptr<char[]> space_;
  size_t used_ = 0;
  std::vector<Task> tasks_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_LANE_OUTBOX_H_
