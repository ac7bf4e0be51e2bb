// Makes the kernel refuse a system call, as it does in a container with a
// seccomp filter.
#ifndef PORTREEVE_TESTS_TESTING_REFUSED_CALL_H_
#define PORTREEVE_TESTS_TESTING_REFUSED_CALL_H_

namespace portreeve::testing {

// From now on system call number `call`, such as SYS_splice, fails with
// `error_number` on this thread, and on those that it starts.  There is no way
// back.  Gives false where the kernel has no seccomp.
bool RefuseCall(int call, int error_number);

// Does the same to epoll_ctl(2) where that adds a descriptor.  It may still
// change one, by which Asio wakes a loop.
bool RefuseToWatch(int error_number);

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_REFUSED_CALL_H_
