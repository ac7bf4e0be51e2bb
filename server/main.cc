// portreeved: see --help.
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "lib/base/descriptor.h"
#include "lib/base/log.h"
#include "server/daemon/daemon.h"
#include "server/daemon/flags.h"
#include "server/daemon/inherited.h"
#include "server/daemon/library_logs.h"
#include "server/daemon/listener_directory.h"
#include "server/daemon/log_output.h"
#include "server/daemon/log_writer.h"
#include "server/daemon/notify.h"
#include "server/daemon/signals.h"
#include "server/daemon/standard_descriptors.h"
#include "server/daemon/start_probe.h"
#include "server/daemon/successor.h"
#include "server/registry/given_sockets.h"

namespace portreeve::server {
namespace {

// Gives where relative paths count from: where `bazel run` was called, if it
// was.
std::string WorkingDirectory() {
  const char* outside = std::getenv("BUILD_WORKING_DIRECTORY");
  if (outside != nullptr && outside[0] == '/') return outside;
  char directory[4096];
  return getcwd(directory, sizeof directory) == nullptr ? "/" : directory;
}

void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

void PrepareProcess() {
  RaiseDescriptorLimit();
  // The largest frames of clients go back to the system when they have gone on
  // to a peer: the heap would keep them for the next, as many as there once
  // were at a time.
  mallopt(M_MMAP_THRESHOLD, 128 * 1024);
  // What comes and goes with each frame stays: giving it back each time costs
  // as much as carrying the bytes.
  mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
  // Debian's Abseil is built to look for cycles in the order of all locks,
  // under one lock for the process, each time that gRPC takes one, and aborts
  // when it thinks that it has found one: a tool for tests.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  LogTheLinesOfLibraries();
}

// Exit statuses; 0 is a stop in order.
constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;

// Writes to stderr, while nothing else runs that its reader could hold up.
int Fail(const absl::Status& status, int exit_status = kFailed) {
  std::fprintf(stderr, "portreeved: %s\n",
               std::string(status.message()).c_str());
  return exit_status;
}

using Files = absl::StatusOr<std::vector<FileListener>>;

Files ReadFiles(const Flags& flags) {
  if (flags.listeners.empty()) return std::vector<FileListener>();
  auto files = ReadListenerDirectory(flags.listeners);
  if (files.ok()) return files;
  return AboutFlag("--listeners", files.status());
}

absl::Status Probe(const Flags& flags, const Files& files) {
  const size_t num_files = files.ok() ? files->size() : 0;
  // The HTTP port has a loop of its own.
  const int num_loops = flags.loops + (flags.http.empty() ? 0 : 1);
  return ProbeStart(
      NeedsOfStart(num_loops, flags.control.size() + flags.http.size() +
                                  flags.listen.size() + num_files +
                                  (flags.handover.empty() ? 0 : 1)));
}

// Gives nullopt for "", which is no file.
absl::StatusOr<std::optional<LogOutput>> OpenLogFile(const std::string& flag,
                                                     const std::string& path) {
  if (path.empty()) return std::optional<LogOutput>();
  auto file = LogOutput::ToFile(path);
  if (!file.ok()) return AboutFlag(flag, file.status());
  return std::optional<LogOutput>(*std::move(file));
}

absl::StatusOr<std::unique_ptr<LogWriter>> StartLog(const Flags& flags) {
  LogWriter::Outputs outputs{LogOutput::Inherited(STDERR_FILENO), {}, {}};
  auto audit = OpenLogFile("--audit", flags.audit);
  if (!audit.ok()) return audit.status();
  outputs.audit = *std::move(audit);
  if (flags.access_log == kAccessLogToStderr) {
    outputs.access = LogOutput::Inherited(STDERR_FILENO);
  } else {
    auto access = OpenLogFile("--access-log", flags.access_log);
    if (!access.ok()) return access.status();
    outputs.access = *std::move(access);
  }
  if (outputs.audit && outputs.access &&
      outputs.audit->IsSameFile(*outputs.access)) {
    return absl::InvalidArgumentError(SameFileText(flags.audit));
  }
  return LogWriter::Start(std::move(outputs), flags.log_format);
}

int FailByLog(LogWriter& log, const absl::Status& status) {
  log.LogFailedStart(std::string(status.message()));
  return kFailed;
}

int Run(const absl::StatusOr<std::unique_ptr<Daemon>>& daemon,
        const Daemon::Process& process) {
  if (!daemon.ok()) return FailByLog(process.log, daemon.status());
  KeepRunningWithoutMemory();
  return (*daemon)->Run() ? 0 : kFailed;
}

void LogClosed(const std::vector<PassedDescriptor>& closed, const char* why) {
  for (const PassedDescriptor& one : closed) {
    Log(LogLevel::kWarning, absl::StrCat("LISTEN_FDS: descriptor ", one.number,
                                         " (", one.name, ") is closed: ", why));
  }
}

// Takes over from the process at the other end of `channel`, or from that of
// --takeover.
int TakeOver(const Flags& flags, Files files, std::optional<Descriptor> channel,
             InheritedSockets inherited, const Daemon::Process& process) {
  std::vector<PassedDescriptor> needless = std::move(inherited.unknown);
  for (const InheritedSockets::Control& control : inherited.control) {
    needless.push_back({control.socket.get(), "control"});
  }
  for (const GivenSockets::Entry& entry : inherited.listeners.entries()) {
    needless.push_back(
        {entry.socket.get(), absl::StrCat("listener-", entry.id)});
  }
  LogClosed(needless, "sockets come from the process before");
  if (!files.ok()) return FailByLog(process.log, files.status());
  return Run(
      Daemon::TakeOver(flags, *std::move(files), std::move(channel), process),
      process);
}

int Serve(Flags& flags, Files files, InheritedSockets inherited,
          const Daemon::Process& process) {
  LogClosed(inherited.unknown, "its name is neither control nor listener-ID");
  if (!files.ok()) return FailByLog(process.log, files.status());
  auto control = AssignControl(std::move(inherited.control), flags);
  if (!control.ok()) return FailByLog(process.log, control.status());
  return Run(
      Daemon::Start(flags, *std::move(files),
                    {*std::move(control), std::move(inherited.listeners)},
                    process),
      process);
}

int Main(int argc, char** argv) {
  auto inherited = InheritedSockets::Take(ListenVariables::Take(), getpid());
  const NotifyVariables notify = NotifyVariables::Take();
  auto channel = TakeHandoverDescriptor();
  Program program = Program::OfThis(argc, argv, notify);
  PrepareProcess();
  auto signals = Signals::Take();
  if (!signals.ok()) return Fail(signals.status());
  auto parsed = ParseFlags(argc, argv, WorkingDirectory());
  if (!parsed.ok()) return Fail(parsed.status(), kWrongUsage);
  if (const auto* information = std::get_if<Information>(&*parsed)) {
    std::fputs(information->text.c_str(), stdout);
    return 0;
  }
  Flags& flags = std::get<Flags>(*parsed);
  if (!inherited.ok()) return Fail(inherited.status());
  if (!channel.ok()) return Fail(channel.status());
  auto files = ReadFiles(flags);
  if (const absl::Status probed = Probe(flags, files); !probed.ok()) {
    return Fail(probed);
  }
  auto log = StartLog(flags);
  if (!log.ok()) return Fail(log.status());
  SetLogSink([&log](const LogLine& line) { (*log)->Log(line); },
             flags.log_level);
  Notifier notifier(notify, getpid());
  const Daemon::Process process{*signals, **log, notifier, stdout,
                                std::move(program)};
  const int status =
      *channel || !flags.takeover.empty()
          ? TakeOver(flags, std::move(files), *std::move(channel),
                     *std::move(inherited), process)
          : Serve(flags, std::move(files), *std::move(inherited), process);
  // gRPC's own threads, which stay, are not heard any more.
  SetLogSink([](const LogLine&) {});
  log->reset();
  return status;
}

// Turns what is thrown, where no thread can be started or no epoll made, into
// one line: a start that fails never aborts.
int GuardedMain(int argc, char** argv) {
  SpareAddressSpace();
  ExitWithoutMemory();
  try {
    return Main(argc, argv);
  } catch (const std::exception& error) {
    return Fail(absl::UnknownError(error.what()));
  }
}

// Called before main(), and before the constructors of libraries.
__attribute__((section(".preinit_array"),
               used)) void (*const kCalledFirst)() = &OpenStandardDescriptors;

}  // namespace
}  // namespace portreeve::server

int main(int argc, char** argv) {
  return portreeve::server::GuardedMain(argc, argv);
}
