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
#include "server/events/access_line.h"

namespace portreeve::server {
namespace {

using Clock = std::chrono::steady_clock;

// The least time between two writes of the thread.
constexpr std::chrono::milliseconds kPause{5};
// How long the destructor waits for the thread beyond kFlush.
constexpr std::chrono::milliseconds kGrace{300};

// The log, the audit and the access log.
constexpr size_t kMostChannels = 3;

// What waits for an output.
struct Waiting {
  LogQueue queue;
  bool due = false;      // There is something to try.
  bool blocked = false;  // Nothing can be done before the output is writable.
};

// One output, and what waits for it.
class Channel {
 public:
  Channel(LogOutput to, const char* channel_name, size_t capacity,
          LogQueue::Note note)
      : output(std::move(to)),
        name(channel_name),
        waiting_{LogQueue(capacity, std::move(note))} {}

  // `mutex` is the LogWriter's.  What the queue's Next() has given may be used
  // without it.
  Waiting& waiting([[maybe_unused]] const Mutex& mutex)
      PORTREEVE_REQUIRES(mutex) {
    return waiting_;
  }

  // These belong to the thread.
  LogOutput output;
  const char* const name;
  bool write_fails = false;
  bool open_fails = false;
  // Not nullopt where what fails is said again: when that was said last.
  std::optional<Clock::time_point> said_at;

  // What fails is not worth a line, since the line would go the same way.
  bool is_stderr() const { return output.path().empty(); }

 private:
  Waiting waiting_;
};

}  // namespace

class LogWriter::Thread {
 public:
  Thread(Descriptor wake, Outputs outputs, LogFormat format)
      : wake_(std::move(wake)),
        formatter_(format),
        log_(std::move(outputs.log), "the log",
             outputs.audit ? kMaxWaitingBytes / 2 : kMaxWaitingBytes,
             [this](int64_t lines) { return formatter_.DroppedLines(lines); }) {
    channels_.push_back(&log_);
    if (outputs.audit) {
      audit_.emplace(*std::move(outputs.audit), "the audit log",
                     kMaxWaitingBytes / 2, &AuditLog::LineOfDropped);
      channels_.push_back(&*audit_);
    }
    if (outputs.access) {
      access_.emplace(*std::move(outputs.access), "the access log",
                      kMaxWaitingAccessBytes, &AccessLine::OfLost);
      access_->said_at = Clock::now() - kSayAgain;
      channels_.push_back(&*access_);
    }
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
  void Access(std::optional<std::string_view> line) PORTREEVE_EXCLUDES(mutex_) {
    Add(*access_, line);
  }
  AccessCounts access_counts() const PORTREEVE_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return access_counts_;
  }
  void AddAccessCounts(const AccessCounts& counts) PORTREEVE_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    access_counts_.lines += counts.lines;
    access_counts_.dropped += counts.dropped;
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
      if (TakeReopen()) {
        for (Channel* channel : channels_) {
          if (!channel->is_stderr()) Refresh(*channel, true);
        }
      }
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
      const bool is_in = line && waiting.queue.Add(*line);
      if (!line) waiting.queue.AddDropped();
      if (access_ && &channel == &*access_) {
        ++(is_in ? access_counts_.lines : access_counts_.dropped);
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

  // Writes what has come until now.  Gives false if nothing was done that a
  // pause should follow.
  bool WriteBatch(Channel& channel) {
    if (!channel.is_stderr()) RefreshBefore(channel);
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
        return true;
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
    if (!fails || channel.is_stderr() || !IsToBeSaid(channel, failed)) return;
    Say(LogLevel::kError, [&] {
      return std::string(
          ErrnoError(result.error_number, "write", channel.name).message());
    });
  }

  // Logs the message that `make` gives, or counts it where there is no memory.
  template <typename Make>
  void Say(LogLevel level, const Make& make) PORTREEVE_EXCLUDES(mutex_) {
    AddMade(log_, [&] {
      const std::string message = make();
      return formatter_.Format({level, message});
    });
  }

  // Whether what fails, and has or has not `failed` before, is to be said now.
  static bool IsToBeSaid(Channel& channel, bool failed) {
    if (!channel.said_at) return !failed;
    const Clock::time_point now = Clock::now();
    if (now - *channel.said_at < kSayAgain) return false;
    channel.said_at = now;
    return true;
  }

  // Opens the file anew if it must be, once for a batch, and for a try after a
  // failure.
  void RefreshBefore(Channel& channel) {
    bool is_in_between;
    {
      const MutexLock lock(mutex_);
      is_in_between = channel.waiting(mutex_).queue.InBetween();
    }
    if (is_in_between || channel.write_fails) Refresh(channel, false);
  }

  void Refresh(Channel& channel, bool always) {
    try {
      const auto opened = channel.output.Refresh(always);
      const bool failed = std::exchange(channel.open_fails, !opened.ok());
      if (opened.ok()) return OnRefreshed(channel, *opened);
      if (!always && !IsToBeSaid(channel, failed)) return;
      Say(LogLevel::kError, [&] {
        return absl::StrCat(channel.name, " goes on in the old file: ",
                            opened.status().message());
      });
    } catch (const std::bad_alloc&) {
      // It has failed, and there is no memory for the words.
      channel.open_fails = true;
      Add(log_, std::nullopt);
    }
  }

  void OnRefreshed(Channel& channel, LogOutput::Opened opened) {
    if (opened == LogOutput::Opened::kNotAnew) return;
    {
      const MutexLock lock(mutex_);
      Waiting& waiting = channel.waiting(mutex_);
      waiting.queue.OnReopened(opened == LogOutput::Opened::kSameFile);
      waiting.blocked = false;
      waiting.due = !waiting.queue.empty();
    }
    Say(LogLevel::kInfo, [&] {
      return absl::StrCat(channel.name,
                          " was opened anew: ", channel.output.path());
    });
  }

  // Lets the lines of a burst come together: whoever adds one finds the thread
  // awake, and need not wake it.
  void Pause() const {
    if (deadline_) return;
    pollfd orders{wake_.get(), POLLIN, 0};
    (void)poll(&orders, 1, static_cast<int>(kPause.count()));
  }

  // It takes no memory.
  void Wait() {
    std::array<pollfd, 1 + kMostChannels> wanted = {{{wake_.get(), POLLIN, 0}}};
    std::array<Channel*, kMostChannels> blocked;
    size_t num_blocked = 0;
    int milliseconds = -1;
    {
      const MutexLock lock(mutex_);
      if (reopen_ || (stop_ && !deadline_)) return;
      for (Channel* channel : channels_) {
        const Waiting& waiting = channel->waiting(mutex_);
        if (waiting.blocked) {
          blocked[num_blocked++] = channel;
          wanted[num_blocked] = {channel->output.fd(), POLLOUT, 0};
        } else if (waiting.due) {
          return;
        } else if (TriesAgain(*channel, waiting)) {
          milliseconds =
              static_cast<int>(std::chrono::milliseconds(kTryAgain).count());
        }
      }
      if (deadline_) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(
            *deadline_ - Clock::now());
        milliseconds = static_cast<int>(std::max<int64_t>(left.count(), 0));
      }
      asleep_ = true;
    }
    const bool is_over =
        poll(wanted.data(), 1 + num_blocked, milliseconds) == 0;
    eventfd_t count;
    if (wanted[0].revents != 0) (void)eventfd_read(wake_.get(), &count);
    const MutexLock lock(mutex_);
    asleep_ = false;
    for (Channel* channel : channels_) {
      Waiting& waiting = channel->waiting(mutex_);
      if (is_over && TriesAgain(*channel, waiting)) waiting.due = true;
    }
    for (size_t i = 0; i < num_blocked; ++i) {
      if (wanted[i + 1].revents == 0) continue;
      Waiting& waiting = blocked[i]->waiting(mutex_);
      waiting.blocked = false;
      waiting.due = true;
    }
  }

  // Whether lines wait for a file that could not be written, and is to be tried
  // again although nothing comes.
  bool TriesAgain(const Channel& channel, const Waiting& waiting) const {
    return channel.write_fails && !channel.is_stderr() && !deadline_ &&
           !waiting.blocked && !waiting.queue.empty();
  }

  const Descriptor wake_;  // An eventfd.
  const LogFormatter formatter_;

  mutable Mutex mutex_;
  CondVar end_;
  bool asleep_ PORTREEVE_GUARDED_BY(mutex_) = false;
  bool reopen_ PORTREEVE_GUARDED_BY(mutex_) = false;
  bool stop_ PORTREEVE_GUARDED_BY(mutex_) = false;
  bool ended_ PORTREEVE_GUARDED_BY(mutex_) = false;
  AccessCounts access_counts_ PORTREEVE_GUARDED_BY(mutex_);

  // These belong to the thread, but for what Channel says.
  Channel log_;
  std::optional<Channel> audit_;
  std::optional<Channel> access_;
  std::vector<Channel*> channels_;
  std::optional<Clock::time_point> deadline_;  // Set after Stop().
};

absl::StatusOr<std::unique_ptr<LogWriter>> LogWriter::Start(Outputs outputs,
                                                            LogFormat format) {
  Descriptor wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.is_open()) {
    return ErrnoError(errno, "open", "a descriptor for the log");
  }
  auto shared =
      std::make_shared<Thread>(std::move(wake), std::move(outputs), format);
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
void LogWriter::Access(std::optional<std::string_view> line) {
  shared_->Access(line);
}
LogWriter::AccessCounts LogWriter::access_counts() const {
  return shared_->access_counts();
}
void LogWriter::AddAccessCounts(const AccessCounts& counts) {
  shared_->AddAccessCounts(counts);
}
void LogWriter::End() { (void)shared_->Stop(kFlush + kGrace); }
void LogWriter::Reopen() { shared_->Reopen(); }

}  // namespace portreeve::server
