// InChild: does in a child process what a process cannot take back.
#ifndef PORTREEVE_TESTS_TESTING_IN_CHILD_H_
#define PORTREEVE_TESTS_TESTING_IN_CHILD_H_

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <functional>

namespace portreeve::testing {

// Calls `f` in a child of fork(2), and fails the test if it fails there, or if
// the child ends otherwise.  The process must have no other thread.
inline void InChild(const std::function<void()>& f) {
  std::fflush(nullptr);
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    f();
    std::fflush(nullptr);
    _exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_IN_CHILD_H_
