// A system call that the kernel refuses, as in a container with a seccomp
// filter.
#ifndef PORTREEVE_TESTS_TESTING_REFUSED_CALL_H_
#define PORTREEVE_TESTS_TESTING_REFUSED_CALL_H_

namespace portreeve::testing {

// From now on system call number `call` (SYS_splice ...) fails with
// `error_number` on this thread, and on those that it starts.  There is no way
// back.  False where the kernel has no seccomp.
bool RefuseCall(int call, int error_number);

// The same of epoll_ctl(2) where it is to add a descriptor.  (Asio wakes a loop
// by a change.)
bool RefuseToWatch(int error_number);

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_REFUSED_CALL_H_
