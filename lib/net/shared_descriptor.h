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

// What other threads carry from and to a socket themselves, bulk above all,
// needs no step of the loop: to wake another thread costs more than to move the
// bytes.  Everything else about the socket stays the loop's, above all when it
// is closed: closing waits for a call that is under way.
//
// In each direction either one other thread or the loop uses it, by turns; they
// have to agree on whose turn it is.
class SharedDescriptor {
 public:
  // Does not own `fd`.
  explicit SharedDescriptor(int fd) : receive_fd_(fd), send_fd_(fd) {}
  SharedDescriptor(const SharedDescriptor&) = delete;
  SharedDescriptor& operator=(const SharedDescriptor&) = delete;

  // Do what ReceiveNow() and SendNow() do; after StopReceiving() and Close()
  // they give -1 with EBADF.  The kernel reports a reset once, and whoever
  // receives after that would find an end; so after a failure of either,
  // Receive() gives what had arrived, and then that failure, but no end.
  // Threads: any.
  ssize_t Receive(std::span<char> space);
  ssize_t Send(std::span<const std::string_view> pieces);
  // Is true when closed.
  // Threads: any.
  bool HasLittleUnsent();

  // Ends receiving.  No Receive() is under way when it returns.
  // Threads: loop thread only.
  void StopReceiving();
  // Ends all use of the descriptor, before that is closed.  No call is under
  // way when it returns.
  // Threads: loop thread only.
  void Close();

  // Gives the first error that a call has met, other than EAGAIN and EBADF; 0
  // if there is none.  It waits for the calls that are under way.
  // Threads: any.
  int failure();

  // Give how many bytes went through it.  A byte is counted before its receiver
  // can say that it has it: bytes_sent() waits for a Send() that is under way.
  // Threads: any.
  int64_t bytes_received() const { return bytes_received_; }
  int64_t bytes_sent() const {
    const MutexLock lock(sending_);
    return bytes_sent_;
  }

 private:
  // Keeps `error`, of a call that gave -1.
  void NoteFailure(int error);

  Mutex receiving_;  // Locked before sending_, where both are.
  int receive_fd_ PORTREEVE_GUARDED_BY(receiving_);  // -1: no more.
  mutable Mutex sending_;
  int send_fd_ PORTREEVE_GUARDED_BY(sending_);  // -1: no more.
  int64_t bytes_sent_ PORTREEVE_GUARDED_BY(sending_) = 0;
  std::atomic<int> failure_ = 0;
  std::atomic<int64_t> bytes_received_ = 0;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_SHARED_DESCRIPTOR_H_
