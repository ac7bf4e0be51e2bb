// SharedDescriptor: a socket's descriptor for threads that are not its loop's.
#ifndef PORTREEVE_LIB_NET_SHARED_DESCRIPTOR_H_
#define PORTREEVE_LIB_NET_SHARED_DESCRIPTOR_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>

#include "lib/base/mutex.h"

namespace portreeve {

// What gRPC's threads carry from and to a socket themselves, bulk above all,
// needs no step of the loop: to wake another thread costs more than to move the
// bytes.  Everything else about the socket stays the loop's, its life before
// all: closing waits for a call that is under way.
//
// In each direction either one other thread uses it or the loop, by turns: they
// agree about that elsewhere.
class SharedDescriptor {
 public:
  // Does not own `fd`.
  explicit SharedDescriptor(int fd) : receive_fd_(fd), send_fd_(fd) {}
  SharedDescriptor(const SharedDescriptor&) = delete;
  SharedDescriptor& operator=(const SharedDescriptor&) = delete;

  // Any thread.  As ReceiveNow() and SendNow(); -1 with EBADF after
  // StopReceiving() and Close().  The kernel tells a reset once, and an end to
  // who receives then: after a failure of either, Receive() gives what had
  // arrived, and then that failure, but no end.
  ssize_t Receive(std::span<char> space);
  ssize_t Send(std::span<const std::string_view> pieces);
  // Any thread; true when closed.
  bool HasLittleUnsent();

  // Loop thread.  No Receive() is under way when it returns.
  void StopReceiving();
  // Loop thread, before the descriptor is closed.  No call is under way when it
  // returns.
  void Close();

  // Any thread.  The first error that a call has met, but EAGAIN and EBADF; 0
  // if there is none.  Waits for the calls that are under way.
  int failure();

  // Any thread.  What went through it.  A byte is counted before its receiver
  // can tell of it: bytes_sent() waits for a Send() that is under way.
  int64_t bytes_received() const { return bytes_received_; }
  int64_t bytes_sent() const {
    const MutexLock lock(sending_);
    return bytes_sent_;
  }

 private:
  // Of a call that gave -1.
  void NoteFailure(int error);

  Mutex receiving_;  // Before sending_, where both are held.
  int receive_fd_ PORTREEVE_GUARDED_BY(receiving_);  // -1: no more.
  mutable Mutex sending_;
  int send_fd_ PORTREEVE_GUARDED_BY(sending_);  // -1: no more.
  int64_t bytes_sent_ PORTREEVE_GUARDED_BY(sending_) = 0;
  std::atomic<int> failure_ = 0;
  std::atomic<int64_t> bytes_received_ = 0;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_SHARED_DESCRIPTOR_H_
