#include "lib/lane/outbox.h"

#include <liburing.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <limits>
#include <new>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/guarded.h"

namespace portreeve {
namespace {

// The most in one call.
constexpr unsigned kMostTasks = 256;
constexpr size_t kSpaceBytes = 256 * 1024;
constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;

// Rounds up so that two messages share no cache line.
constexpr size_t RoundedUp(size_t size) { return (size + 63) / 64 * 64; }

}  // namespace

class Outbox::Ring {
 public:
  // Null where the kernel has no io_uring, or does not let us use it.
  static std::unique_ptr<Ring> Make() {
    auto ring = std::make_unique<Ring>();
    const int result = io_uring_queue_init(kMostTasks, &ring->ring_, 0);
    ring->is_open_ = result == 0;
    return ring->is_open_ && ring->CanDoThis() && ring->MayEnter()
               ? std::move(ring)
               : nullptr;
  }

  Ring() = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() {
    if (is_open_) io_uring_queue_exit(&ring_);
  }

  // Gives how many of `tasks`, from the front, it has done.  If those are not
  // all, it can do no more, and must be thrown away.
  size_t DoAll(std::span<Task> tasks) {
    size_t done = 0;
    while (done < tasks.size()) {
      const std::span<Task> some = tasks.subspan(
          done, std::min<size_t>(tasks.size() - done, kMostTasks));
      const size_t done_of_some = DoSome(some);
      done += done_of_some;
      if (done_of_some < some.size()) break;
    }
    return done;
  }

 private:
  // How often in a row the kernel may be out of memory, with nothing done in
  // between.
  static constexpr int kMostRefusals = 8;

  bool CanDoThis() {
    io_uring_probe* const probe = io_uring_get_probe_ring(&ring_);
    if (probe == nullptr) return false;
    const bool can = io_uring_opcode_supported(probe, IORING_OP_SEND) != 0 &&
                     io_uring_opcode_supported(probe, IORING_OP_CLOSE) != 0;
    io_uring_free_probe(probe);
    return can;
  }

  // A seccomp filter may allow io_uring_setup(2) and not io_uring_enter(2).
  bool MayEnter() {
    io_uring_prep_nop(io_uring_get_sqe(&ring_));
    io_uring_cqe* entry = nullptr;
    if (io_uring_submit_and_wait(&ring_, 1) != 1 ||
        io_uring_peek_cqe(&ring_, &entry) != 0) {
      return false;
    }
    io_uring_cqe_seen(&ring_, entry);
    return true;
  }

  size_t DoSome(std::span<Task> tasks) {
    for (size_t i = 0; i < tasks.size(); ++i) {
      io_uring_sqe* const entry = io_uring_get_sqe(&ring_);
      const Task& task = tasks[i];
      if (task.message.empty()) {
        io_uring_prep_close(entry, task.fd);
      } else {
        io_uring_prep_send(entry, task.fd, task.message.data(),
                           task.message.size(), kFlags);
      }
      io_uring_sqe_set_data64(entry, i);
      tasks[i].result = kUnknown;
    }
    // No task waits for anything, so that the kernel is through with all of
    // them in the call, unless it is short of memory for so many.
    int refusals = 0;
    size_t left = tasks.size();
    while (left > 0) {
      const int result =
          io_uring_submit_and_wait(&ring_, static_cast<unsigned>(left));
      const unsigned reaped = Reap(tasks);
      left -= reaped;
      if (result >= 0 || result == -EINTR || reaped > 0) {
        refusals = 0;
      } else if ((result != -EAGAIN && result != -EBUSY) ||
                 ++refusals == kMostRefusals) {
        break;
      }
    }
    // The kernel takes the tasks in their order.
    const size_t taken = tasks.size() - io_uring_sq_ready(&ring_);
    for (Task& task : tasks.first(taken)) {
      // Nobody knows whether this was sent, and to send it again would be
      // worse.
      if (task.result == kUnknown) task.result = -EIO;
    }
    return taken;
  }

  // Gives how many results there were.
  unsigned Reap(std::span<Task> tasks) {
    unsigned count = 0;
    unsigned head;
    io_uring_cqe* entry;
    io_uring_for_each_cqe(&ring_, head, entry) {
      tasks[io_uring_cqe_get_data64(entry)].result = entry->res;
      ++count;
    }
    io_uring_cq_advance(&ring_, count);
    return count;
  }

  static constexpr ssize_t kUnknown = std::numeric_limits<ssize_t>::min();

  io_uring ring_;
  bool is_open_ = false;
};

Outbox::Outbox(Way way)
    : ring_(way == Way::kTogether ? Ring::Make() : nullptr),
      space_(std::make_unique_for_overwrite<char[]>(kSpaceBytes)) {
  tasks_.reserve(kMostTasks);
}

Outbox::~Outbox() { PORTREEVE_CHECK(tasks_.empty()); }

void Outbox::End() {
  DoAll();
  open_ = false;
}

std::span<char> Outbox::Space() {
  if (!open_ || doing_ || kSpaceBytes - used_ < kMostBytes) return {};
  if (!HasRoom()) return {};
  return {space_.get() + used_, kMostBytes};
}

// Whether one more task fits into tasks_: otherwise what lies in the space
// could not be sent, and would be lost.
bool Outbox::HasRoom() {
  if (tasks_.size() < tasks_.capacity()) return true;
  try {
    tasks_.reserve(2 * tasks_.capacity());
  } catch (const std::bad_alloc&) {
    return false;
  }
  return true;
}

void Outbox::Send(int fd, size_t size, Sender& sender, int tag) {
  PORTREEVE_DCHECK(size > 0 && size <= Space().size());
  tasks_.push_back(
      {fd, tag, {space_.get() + used_, size}, &sender, nullptr, 0});
  used_ += RoundedUp(size);
}

void Outbox::Settle(Sender& sender) {
  if (!doing_) return DoAll();
  // All is done, and not everybody has been called.
  for (Task& task : tasks_) {
    if (task.sender == &sender) Tell(task);
  }
}

void Outbox::Close(Descriptor fd, std::shared_ptr<Closer> closer) {
  if (open_ && !doing_) {
    // A close must not fail, so that it needs no memory.
    if (tasks_.size() == tasks_.capacity()) DoAll();
    tasks_.push_back({fd.Release(), 0, {}, nullptr, std::move(closer), 0});
    return;
  }
  fd = Descriptor();
  if (closer) closer->OnClosed();
}

void Outbox::DoAll() {
  if (tasks_.empty()) return;
  PORTREEVE_CHECK(!doing_);
  doing_ = true;
  std::span<Task> left = tasks_;
  if (ring_ && left.size() > 1) {
    left = left.subspan(ring_->DoAll(left));
    if (!left.empty()) ring_.reset();
  }
  for (Task& task : left) DoNow(task);
  for (Task& task : tasks_) Tell(task);
  tasks_.clear();
  used_ = 0;
  doing_ = false;
}

void Outbox::DoNow(Task& task) {
  if (task.message.empty()) {
    (void)close(task.fd);
    return;
  }
  do {
    task.result =
        send(task.fd, task.message.data(), task.message.size(), kFlags);
  } while (task.result < 0 && errno == EINTR);
  if (task.result < 0) task.result = -errno;
}

void Outbox::Tell(Task& task) {
  if (const auto closer = std::exchange(task.closer, nullptr)) {
    Guarded([&] { closer->OnClosed(); });
  }
  if (Sender* const sender = std::exchange(task.sender, nullptr)) {
    Guarded([&] { sender->OnSent(task.result, task.message, task.tag); });
  }
}

}  // namespace portreeve
