#include "server/daemon/log_writer.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <new>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/descriptor.h"
#include "lib/base/mutex.h"
#include "lib/base/status.h"
#include "server/access/audit_log.h"
#include "server/daemon/log_queue.h"

namespace portreeve::server {
namespace {

using Clock = std::chrono::steady_clock;

// The least time between two writes of the thread.
constexpr std::chrono::milliseconds kPause{5};
// How long the destructor waits for the thread beyond kFlush.
constexpr std::chrono::milliseconds kGrace{300};

// What waits for an output.
struct Waiting {
  LogQueue queue;
  bool due = false;      // There is something to try.
  bool blocked = false;  // Nothing can be done before the output is writable.
};

// One output, and what waits for it.
class Channel {
 public:
  Channel(LogOutput to, size_t capacity, LogQueue::Note note)
      : output(std::move(to)), waiting_{LogQueue(capacity, std::move(note))} {}

  // `mutex` is the LogWriter's.  What the queue's Next() has given may be used
  // without it.
  Waiting& waiting([[maybe_unused]] const Mutex& mutex)
      PORTREEVE_REQUIRES(mutex) {
    return waiting_;
  }

  // These belong to the thread.
  LogOutput output;
  bool write_fails = false;
  bool open_fails = false;

 private:
  Waiting waiting_;
};

}  // namespace

class LogWriter::Thread {
 public:
  Thread(Descriptor wake, LogOutput log, std::optional<LogOutput> audit,
         LogFormat format)
      : wake_(std::move(wake)),
        formatter_(format),
        log_(std::move(log), audit ? kMaxWaitingBytes / 2 : kMaxWaitingBytes,
             [this](int64_t lines) { return formatter_.DroppedLines(lines); }) {
    channels_.push_back(&log_);
    if (!audit) return;
    audit_.emplace(*std::move(audit), kMaxWaitingBytes / 2,
                   &AuditLog::LineOfDropped);
    channels_.push_back(&*audit_);
  }

  // Threads: any.
  void Log(const LogLine& line) PORTREEVE_EXCLUDES(mutex_) {
    AddMade(log_, [&] { return formatter_.Format(line); });
  }
  void LogFailedStart(std::string_view reason) PORTREEVE_EXCLUDES(mutex_) {
    AddMade(log_, [&] {
      return formatter_.FailedStart({reason.data(), reason.size()});
    });
  }
  void Audit(std::string_view line) PORTREEVE_EXCLUDES(mutex_) {
    Add(audit_ ? *audit_ : log_, line);
  }
  void Reopen() PORTREEVE_EXCLUDES(mutex_) {
    {
      const MutexLock lock(mutex_);
      reopen_ = true;
      asleep_ = false;
    }
    Wake();
  }
  // Gives false if the thread has not ended within `most`.
  bool Stop(Clock::duration most) PORTREEVE_EXCLUDES(mutex_) {
    const Clock::time_point until = Clock::now() + most;
    {
      const MutexLock lock(mutex_);
      stop_ = true;
      asleep_ = false;
    }
    Wake();
    const MutexLock lock(mutex_);
    while (!ended_ && end_.WaitUntil(mutex_, until)) {
    }
    return ended_;
  }

  void Run() {
    while (!IsOver()) {
      if (TakeReopen() && audit_) Refresh(true);
      bool wrote = false;
      for (Channel* channel : channels_) {
        if (TakeDue(*channel)) wrote |= WriteBatch(*channel);
      }
      if (wrote) {
        Pause();
      } else {
        Wait();
      }
    }
    const MutexLock lock(mutex_);
    ended_ = true;
    end_.NotifyAll();
  }

 private:
  // Adds the line that `make` gives; one for which it finds no memory is
  // dropped and counted.
  template <typename Make>
  void AddMade(Channel& channel, const Make& make) PORTREEVE_EXCLUDES(mutex_) {
    std::optional<std::string> line;
    try {
      line = make();
    } catch (const std::bad_alloc&) {
      // It stays without.
    }
    Add(channel, line);
  }

  void Add(Channel& channel, std::optional<std::string_view> line)
      PORTREEVE_EXCLUDES(mutex_) {
    bool wake;
    {
      const MutexLock lock(mutex_);
      Waiting& waiting = channel.waiting(mutex_);
      if (line) {
        waiting.queue.Add(*line);
      } else {
        waiting.queue.AddDropped();
      }
      waiting.due = true;
      wake = !waiting.blocked && std::exchange(asleep_, false);
    }
    if (wake) Wake();
  }

  void Wake() const { (void)eventfd_write(wake_.get(), 1); }

  // The methods that follow are called on the thread.

  bool TakeReopen() {
    const MutexLock lock(mutex_);
    return std::exchange(reopen_, false);
  }

  bool TakeDue(Channel& channel) {
    const MutexLock lock(mutex_);
    Waiting& waiting = channel.waiting(mutex_);
    return !waiting.blocked && std::exchange(waiting.due, false);
  }

  // Whether Stop() was called, and everything that flows has gone out, or time
  // is up.
  bool IsOver() {
    const MutexLock lock(mutex_);
    if (!stop_) return false;
    if (!deadline_) {
      deadline_ = Clock::now() + kFlush;
      // What has failed gets a last try.
      for (Channel* channel : channels_) channel->waiting(mutex_).due = true;
    }
    if (Clock::now() >= *deadline_) return true;
    for (Channel* channel : channels_) {
      const Waiting& waiting = channel->waiting(mutex_);
      if (waiting.due || waiting.blocked) return false;
    }
    return true;
  }

  // Writes what has come until now; gives false if it could not write anything.
  bool WriteBatch(Channel& channel) {
    if (&channel != &log_) RefreshBefore(channel);
    for (bool wrote = false;; wrote = true) {
      std::string_view piece;
      {
        const MutexLock lock(mutex_);
        LogQueue& queue = channel.waiting(mutex_).queue;
        if (queue.empty()) return wrote;
        piece = queue.Next(channel.output.most());
      }
      const LogOutput::Result result = channel.output.Write(piece);
      SayIfItFails(channel, result);
      const MutexLock lock(mutex_);
      Waiting& waiting = channel.waiting(mutex_);
      if (result.error_number != 0) {
        waiting.queue.OnFailure();
        return wrote;
      }
      if (result.size == 0) {
        waiting.blocked = true;
        return wrote;
      }
      waiting.queue.OnWritten(result.size);
      if (!waiting.queue.InBetween()) continue;
      waiting.due = waiting.due || !waiting.queue.empty();
      return true;
    }
  }

  void SayIfItFails(Channel& channel, const LogOutput::Result& result) {
    const bool fails = result.error_number != 0;
    if (!fails && result.size == 0) return;
    const bool failed = std::exchange(channel.write_fails, fails);
    if (!fails || failed || &channel == &log_) return;
    const auto error =
        ErrnoError(result.error_number, "write", "the audit log");
    Log({LogLevel::kError, {error.message().data(), error.message().size()}});
  }

  // Opens the file anew if it must be, once for a batch, and for a try after a
  // failure.
  void RefreshBefore(Channel& channel) {
    bool is_in_between;
    {
      const MutexLock lock(mutex_);
      is_in_between = channel.waiting(mutex_).queue.InBetween();
    }
    if (is_in_between || channel.write_fails) Refresh(false);
  }

  void Refresh(bool always) {
    const auto opened = audit_->output.Refresh(always);
    const bool failed = std::exchange(audit_->open_fails, !opened.ok());
    if (!opened.ok()) {
      if (failed && !always) return;
      const std::string message = absl::StrCat(
          "the audit log goes on in the old file: ", opened.status().message());
      Log({LogLevel::kError, message});
      return;
    }
    if (*opened == LogOutput::Opened::kNotAnew) return;
    {
      const MutexLock lock(mutex_);
      Waiting& waiting = audit_->waiting(mutex_);
      waiting.queue.OnReopened(*opened == LogOutput::Opened::kSameFile);
      waiting.blocked = false;
      waiting.due = !waiting.queue.empty();
    }
    const std::string message =
        absl::StrCat("the audit log was opened anew: ", audit_->output.path());
    Log({LogLevel::kInfo, message});
  }

  // Lets the lines of a burst come together: whoever adds one finds the thread
  // awake, and need not wake it.
  void Pause() const {
    if (deadline_) return;
    pollfd orders{wake_.get(), POLLIN, 0};
    (void)poll(&orders, 1, static_cast<int>(kPause.count()));
  }

  void Wait() {
    std::vector<pollfd> wanted = {{wake_.get(), POLLIN, 0}};
    std::vector<Channel*> blocked;
    int milliseconds = -1;
    {
      const MutexLock lock(mutex_);
      if (reopen_ || (stop_ && !deadline_)) return;
      for (Channel* channel : channels_) {
        const Waiting& waiting = channel->waiting(mutex_);
        if (waiting.blocked) {
          wanted.push_back({channel->output.fd(), POLLOUT, 0});
          blocked.push_back(channel);
        } else if (waiting.due) {
          return;
        }
      }
      if (deadline_) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(
            *deadline_ - Clock::now());
        milliseconds = static_cast<int>(std::max<int64_t>(left.count(), 0));
      }
      asleep_ = true;
    }
    (void)poll(wanted.data(), wanted.size(), milliseconds);
    eventfd_t count;
    if (wanted[0].revents != 0) (void)eventfd_read(wake_.get(), &count);
    const MutexLock lock(mutex_);
    asleep_ = false;
    for (size_t i = 0; i < blocked.size(); ++i) {
      if (wanted[i + 1].revents == 0) continue;
      Waiting& waiting = blocked[i]->waiting(mutex_);
      waiting.blocked = false;
      waiting.due = true;
    }
  }

  const Descriptor wake_;  // An eventfd.
  const LogFormatter formatter_;

  Mutex mutex_;
  CondVar end_;
  bool asleep_ PORTREEVE_GUARDED_BY(mutex_) = false;
  bool reopen_ PORTREEVE_GUARDED_BY(mutex_) = false;
  bool stop_ PORTREEVE_GUARDED_BY(mutex_) = false;
  bool ended_ PORTREEVE_GUARDED_BY(mutex_) = false;

  // These belong to the thread, but for what Channel says.
  Channel log_;
  std::optional<Channel> audit_;
  std::vector<Channel*> channels_;
  std::optional<Clock::time_point> deadline_;  // Set after Stop().
};

absl::StatusOr<std::unique_ptr<LogWriter>> LogWriter::Start(
    LogOutput log, std::optional<LogOutput> audit, LogFormat format) {
  Descriptor wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.is_open()) {
    return ErrnoError(errno, "open", "a descriptor for the log");
  }
  auto shared = std::make_shared<Thread>(std::move(wake), std::move(log),
                                         std::move(audit), format);
  std::unique_ptr<LogWriter> writer(new LogWriter(std::move(shared)));
  try {
    writer->thread_ =
        std::thread([shared = writer->shared_] { shared->Run(); });
  } catch (const std::system_error& error) {
    return ErrnoError(error.code().value(), "start", "the thread of the log");
  }
  (void)pthread_setname_np(writer->thread_.native_handle(), "log");
  return writer;
}

LogWriter::LogWriter(std::shared_ptr<Thread> shared)
    : shared_(std::move(shared)) {}

LogWriter::~LogWriter() {
  if (!thread_.joinable()) return;
  if (shared_->Stop(kFlush + kGrace)) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

void LogWriter::Log(const LogLine& line) { shared_->Log(line); }
void LogWriter::LogFailedStart(std::string_view reason) {
  shared_->LogFailedStart(reason);
}
void LogWriter::Audit(std::string_view line) { shared_->Audit(line); }
void LogWriter::Reopen() { shared_->Reopen(); }

}  // namespace portreeve::server
