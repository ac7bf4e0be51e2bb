// A start with too little of something: one line, and exit status 1.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "server/daemon/start_probe.h"
#include "tests/integration/daemon_client.h"
#include "tests/testing/refused_call.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::testing {
namespace {

using server::NeedsOfStart;
using server::StartNeeds;

struct Pipe {
  Pipe() { EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0); }
  int ends[2];
};

// A portreeved that is started in its own manner.
class Started {
 public:
  // `prepare` runs in the new process, which has no descriptor above 2.
  Started(std::vector<std::string> arguments,
          const std::function<void()>& prepare) {
    pid_ = fork();
    EXPECT_GE(pid_, 0);
    if (pid_ == 0) Exec(arguments, prepare);
    close(out_.ends[1]);
    close(error_.ends[1]);
  }
  Started(const Started&) = delete;
  Started& operator=(const Started&) = delete;
  ~Started() {
    if (status_ < 0) {
      kill(pid_, SIGKILL);
      (void)waitpid(pid_, nullptr, 0);
    }
    close(out_.ends[0]);
    close(error_.ends[0]);
  }

  // False where it ends before.
  bool WaitUntilReady() {
    while (output_.find("portreeved: ready\n") == std::string::npos) {
      if (!ReadSome(out_.ends[0], output_)) return false;
    }
    return true;
  }

  // As gRPC takes it.
  std::string Target() const {
    const std::string prefix = "control tcp:";
    const size_t at = output_.find(prefix) + prefix.size();
    return output_.substr(at, output_.find('\n', at) - at);
  }

  // The status that it exits with; 128 + N if signal N ended it.
  int End() {
    kill(pid_, SIGTERM);
    return WaitForExit();
  }
  int WaitForExit() {
    while (ReadSome(error_.ends[0], error_output_)) {
    }
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    status_ =
        WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return status_;
  }

  // After WaitForExit().
  const std::string& error_output() const { return error_output_; }

  // How many entries `folder` of its /proc has.
  int Count(const std::string& folder) const {
    const std::filesystem::directory_iterator entries(
        "/proc/" + std::to_string(pid_) + "/" + folder);
    return static_cast<int>(std::distance(begin(entries), end(entries)));
  }
  std::string DescriptorOf(int fd) const {
    return std::filesystem::read_symlink("/proc/" + std::to_string(pid_) +
                                         "/fd/" + std::to_string(fd));
  }

 private:
  void Exec(const std::vector<std::string>& arguments,
            const std::function<void()>& prepare) {
    std::vector<char*> argv = {const_cast<char*>("portreeved")};
    for (const auto& a : arguments) {
      argv.push_back(const_cast<char*>(a.c_str()));
    }
    argv.push_back(nullptr);
    dup2(out_.ends[1], STDOUT_FILENO);
    dup2(error_.ends[1], STDERR_FILENO);
    (void)syscall(SYS_close_range, 3, ~0U, 0);
    prepare();
    execv("server/portreeved", argv.data());
    _exit(127);
  }

  // False at the end of file.
  static bool ReadSome(int fd, std::string& to) {
    pollfd wait{fd, POLLIN, 0};
    EXPECT_EQ(poll(&wait, 1, 60'000), 1) << "it hangs";
    char buffer[4096];
    const ssize_t size = read(fd, buffer, sizeof buffer);
    if (size > 0) to.append(buffer, static_cast<size_t>(size));
    return size > 0;
  }

  Pipe out_;
  Pipe error_;
  pid_t pid_ = -1;
  int status_ = -1;
  std::string output_;
  std::string error_output_;
};

const std::vector<std::string> kControl = {"--control", "tcp:127.0.0.1:0"};

// What a start that fails leaves: status 1, and one line with `reason` in it.
void ExpectRefused(Started& daemon, const std::string& reason) {
  EXPECT_EQ(daemon.WaitForExit(), 1) << daemon.error_output();
  const std::string& error = daemon.error_output();
  EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 1) << error;
  EXPECT_EQ(error.rfind("portreeved: ", 0), 0u) << error;
  EXPECT_NE(error.find(reason), std::string::npos) << error;
}

void SetLimit(__rlimit_resource resource, rlim_t value) {
  const rlimit limit{value, value};
  if (setrlimit(resource, &limit) != 0) _exit(126);
}

// With `resource` at `from`, and more by `step`, it is refused until there is
// enough; from then on it serves.
void ExpectOneBound(__rlimit_resource resource, const std::string& name,
                    rlim_t from, rlim_t to, rlim_t step) {
  int num_refused = 0;
  int num_ready = 0;
  for (rlim_t value = from; value <= to; value += step) {
    SCOPED_TRACE(name + " " + std::to_string(value));
    Started daemon(kControl, [&] { SetLimit(resource, value); });
    if (daemon.WaitUntilReady()) {
      ++num_ready;
      DaemonClient client(daemon.Target());
      client.Create("a");
      EXPECT_EQ(client.List().listeners_size(), 1);
      EXPECT_EQ(daemon.End(), 0);
    } else {
      ++num_refused;
      EXPECT_EQ(num_ready, 0);
      ExpectRefused(daemon, name);
    }
  }
  EXPECT_GE(num_refused, 5);
  EXPECT_GE(num_ready, 5);
}

TEST(StartLimitsTest, TooFewDescriptors) {
  // With fewer than 5 the libraries themselves cannot be opened.
  ExpectOneBound(RLIMIT_NOFILE, "RLIMIT_NOFILE", 5, 60, 1);
}

TEST(StartLimitsTest, TooLittleAddressSpace) {
  ExpectOneBound(RLIMIT_AS, "RLIMIT_AS", rlim_t{96} << 20, rlim_t{640} << 20,
                 rlim_t{16} << 20);
}

TEST(StartLimitsTest, TooLittleData) {
  ExpectOneBound(RLIMIT_DATA, "RLIMIT_DATA", rlim_t{32} << 20,
                 rlim_t{384} << 20, rlim_t{32} << 20);
}

TEST(StartLimitsTest, NoThreads) {
  Started daemon(kControl, [] { RefuseCall(SYS_clone3, EAGAIN); });
  EXPECT_FALSE(daemon.WaitUntilReady());
  ExpectRefused(daemon, "RLIMIT_NPROC");
}

TEST(StartLimitsTest, NoEpoll) {
  for (const int call : {SYS_epoll_create1, SYS_eventfd2}) {
    Started daemon(kControl, [call] { RefuseCall(call, ENFILE); });
    EXPECT_FALSE(daemon.WaitUntilReady());
    ExpectRefused(daemon, "Too many open files in system");
  }
}

// What the probe asks for is what a start takes: where one takes more, it has
// to be told.
TEST(StartLimitsTest, TheProbeAsksForAllThatAStartTakes) {
  for (const int loops : {1, 2, 5}) {
    std::vector<std::string> arguments = {"--loops", std::to_string(loops)};
    for (int i = 0; i < 3; ++i) {
      arguments.insert(arguments.end(), {"--control", "tcp:127.0.0.1:0",
                                         "--listen", "tcp:127.0.0.1:0 echo"});
    }
    Started daemon(arguments, [] {});
    ASSERT_TRUE(daemon.WaitUntilReady());
    const StartNeeds needs = NeedsOfStart(loops, 6);
    const int descriptors = daemon.Count("fd") - 3;
    EXPECT_LE(descriptors, needs.descriptors);
    EXPECT_GE(descriptors + 10, needs.descriptors);
    const int threads = daemon.Count("task") - 1;
    EXPECT_LE(threads, needs.threads);
    EXPECT_GE(threads + 6, needs.threads);
    EXPECT_EQ(daemon.End(), 0);
  }
}

TEST(StartLimitsTest, TheHttpPortTakesALoopMore) {
  Started daemon({"--loops", "1", "--control", "tcp:127.0.0.1:0", "--http",
                  "tcp:127.0.0.1:0"},
                 [] {});
  ASSERT_TRUE(daemon.WaitUntilReady());
  const StartNeeds needs = NeedsOfStart(2, 2);
  EXPECT_LE(daemon.Count("fd") - 3, needs.descriptors);
  EXPECT_LE(daemon.Count("task") - 1, needs.threads);
  EXPECT_EQ(daemon.End(), 0);
}

// By LD_PRELOAD it was seen what gRPC 1.51 starts on machines of other sizes:
// 10 threads beside one loop with 1 and 2 CPUs, 12 with 4, 18 with 8, 30 with
// 16, 54 with 32 and more.
TEST(StartLimitsTest, ThreadsGrowWithTheCpus) {
  for (const auto& [cpus, threads] :
       {std::pair(1, 10), std::pair(2, 10), std::pair(4, 12), std::pair(8, 18),
        std::pair(16, 30), std::pair(32, 54), std::pair(256, 54)}) {
    const int needed = NeedsOfStart(1, 1, cpus).threads;
    EXPECT_GE(needed, threads + 4) << cpus;
    EXPECT_LE(needed, threads + 6) << cpus;
  }
}

TEST(StartLimitsTest, WithoutStandardDescriptorsThereIsDevNull) {
  for (int closed = 1; closed < 8; ++closed) {
    SCOPED_TRACE(closed);
    const TemporaryFolder folder;
    const std::string control = "unix:" + folder.File("control");
    Started daemon({"--control", control, "--listen",
                    "unix:" + folder.File("listener") + " echo"},
                   [closed] {
                     for (int fd = 0; fd < 3; ++fd) {
                       if ((closed & 1 << fd) != 0) close(fd);
                     }
                   });
    DaemonClient client(control);  // Waits for it.
    client.Create("a");
    for (int fd = 0; fd < 3; ++fd) {
      const std::string name = daemon.DescriptorOf(fd);
      if ((closed & 1 << fd) != 0) {
        EXPECT_EQ(name, "/dev/null");
      } else {
        EXPECT_EQ(name.rfind("socket:", 0), std::string::npos) << name;
        EXPECT_EQ(name.rfind("anon_inode:", 0), std::string::npos) << name;
      }
    }
    EXPECT_EQ(daemon.End(), 0);
  }
}

}  // namespace
}  // namespace portreeve::testing
