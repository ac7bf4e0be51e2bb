#include "server/handover/handover_receiver.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"
#include "server/api/utf8.h"
#include "server/handover/handover_records.h"
#include "server/handover/predecessor_policy.h"

namespace portreeve::server {
namespace {

using Action = SuccessorPolicy::Action;

int64_t DescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return static_cast<int64_t>(
      std::min<rlim_t>(limit.rlim_cur, std::numeric_limits<int32_t>::max()));
}

absl::StatusOr<int64_t> CountOpenDescriptors() {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir("/proc/self/fd"),
                                                      closedir);
  if (directory == nullptr) {
    return ErrnoError(errno, "opendir", "/proc/self/fd");
  }
  int64_t count = 0;
  while (readdir(directory.get()) != nullptr) ++count;
  return count - 3;  // ".", "..", and the directory itself.
}

class Receiver {
 public:
  Receiver(HandoverChannel& channel, HandoverSink& sink,
           const SuccessorIdentity& identity, HandoverClock& clock)
      : channel_(channel),
        sink_(sink),
        identity_(identity),
        clock_(clock),
        policy_(clock.Now()) {}

  absl::Status Run() {
    while (policy_.action() != Action::kServe &&
           policy_.action() != Action::kExit) {
      const Action action = policy_.action();
      try {
        if (auto s = Try(action); !s.ok()) policy_.OnFault(s);
      } catch (const std::bad_alloc&) {
        policy_.OnNoMemory();
      }
    }
    if (policy_.action() == Action::kServe) {
      sink_.BeginToServe();
      return absl::OkStatus();
    }
    if (policy_.is_refused()) {
      return absl::FailedPreconditionError(policy_.reason());
    }
    return absl::AbortedError(
        absl::StrCat(policy_.step(), ": ", policy_.reason()));
  }

 private:
  // What the sink throws is an error like others.
  absl::Status Try(Action action) {
    try {
      return Perform(action);
    } catch (const std::bad_alloc&) {
      throw;
    } catch (...) {
      return StatusOf(std::current_exception());
    }
  }

  absl::Status Perform(Action action) {
    switch (action) {
      case Action::kSayHello: {
        auto hello = Hello();
        if (!hello.ok()) return hello.status();
        return Send(*std::move(hello));
      }
      case Action::kAwait: {
        auto packet = channel_.Receive(policy_.deadline());
        if (!packet.ok()) return packet.status();
        packet_ = *std::move(packet);
        policy_.OnMessage(packet_.message, clock_.Now());
        if (packet_.message.has_accepted() &&
            policy_.action() == Action::kAwait) {
          return sink_.TakeAccepted(packet_.message.accepted());
        }
        return absl::OkStatus();
      }
      case Action::kReadEvents: {
        const auto file = ReadSealedFile(packet_.descriptors[0].get());
        if (!file.ok()) return file.status();
        policy_.OnEventsRead(file->bytes, file->crc);
        return absl::OkStatus();
      }
      case Action::kTake:
        if (auto s = Take(); !s.ok()) return s;
        break;
      case Action::kCheck:
        if (auto s = sink_.Check(); !s.ok()) return s;
        break;
      case Action::kSayReady: {
        Handover message;
        *message.mutable_ready()->mutable_counts() = policy_.counts();
        return Send(std::move(message));
      }
      case Action::kSayServing: {
        Handover message;
        message.mutable_serving();
        return Send(std::move(message));
      }
      case Action::kSayFailed: {
        // What was taken last is not to be open any longer than this process
        // needs it.
        packet_ = {};
        Handover message;
        message.mutable_failed()->set_step(policy_.step());
        message.mutable_failed()->set_reason(ErrorText(policy_.reason()));
        // Without waiting: the predecessor may be gone.
        const auto s = channel_.Send(std::move(message), {}, TimePoint::min());
        if (!s.ok()) return s;
        break;
      }
      default:
        break;
    }
    policy_.OnDone(clock_.Now());
    return absl::OkStatus();
  }

  absl::Status Send(Handover message) {
    // A look at the clock at the last moment: what was late in being scheduled
    // is late.
    if (clock_.Now() >= policy_.deadline()) {
      return ChannelError(ChannelFault::kTimeout, "it took too long");
    }
    auto s = channel_.Send(std::move(message), {}, policy_.deadline());
    if (s.ok()) policy_.OnDone(clock_.Now());
    return s;
  }

  absl::StatusOr<Handover> Hello() {
    const auto open_descriptors = CountOpenDescriptors();
    if (!open_descriptors.ok()) return open_descriptors.status();
    Handover message;
    auto& hello = *message.mutable_hello();
    hello.set_min_version(kOldestHandoverVersion);
    hello.set_max_version(kNewestHandoverVersion);
    hello.set_descriptor_limit(DescriptorLimit());
    hello.set_open_descriptors(*open_descriptors);
    hello.set_pid(getpid());
    hello.set_program_version(identity_.program_version);
    if (identity_.state) *hello.mutable_state() = *identity_.state;
    return message;
  }

  absl::Status Take() {
    Handover& message = packet_.message;
    auto descriptors = std::exchange(packet_.descriptors, {});
    switch (message.kind_case()) {
      case Handover::kCounters:
        return sink_.TakeCounters(message.counters());
      case Handover::kListeners:
        return Unpack(*message.mutable_listeners(), std::move(descriptors),
                      [this](auto record, auto own) {
                        return sink_.TakeListener(std::move(record),
                                                  std::move(own));
                      });
      case Handover::kControl:
        return Unpack(*message.mutable_control(), std::move(descriptors),
                      [this](auto record, auto own) {
                        return sink_.TakeControlSocket(std::move(record),
                                                       std::move(own));
                      });
      case Handover::kRequests:
        return Unpack(*message.mutable_requests(), std::move(descriptors),
                      [this](auto record, auto) {
                        return sink_.TakeRequest(std::move(record));
                      });
      case Handover::kConnections:
        return Unpack(*message.mutable_connections(), std::move(descriptors),
                      [this](auto record, auto own) {
                        return sink_.TakeConnection(std::move(record),
                                                    std::move(own));
                      });
      case Handover::kEvents:
        return sink_.TakeEvents(std::move(*message.mutable_events()),
                                std::move(descriptors[0]));
      case Handover::kStore:
        return sink_.TakeStore(std::move(*message.mutable_store()),
                               std::move(descriptors[0]));
      default:
        return absl::OkStatus();
    }
  }

  HandoverChannel& channel_;
  HandoverSink& sink_;
  const SuccessorIdentity& identity_;
  HandoverClock& clock_;
  SuccessorPolicy policy_;
  HandoverChannel::Packet packet_;  // The last one.
};

}  // namespace

absl::Status TakeOver(HandoverChannel& channel, HandoverSink& sink,
                      const SuccessorIdentity& identity, HandoverClock& clock) {
  return Receiver(channel, sink, identity, clock).Run();
}

absl::StatusOr<internal::v1::HandoverDirectory> DirectoryOf(
    const std::string& path) {
  struct stat file;
  if (stat(path.c_str(), &file) != 0) return ErrnoError(errno, "stat", path);
  internal::v1::HandoverDirectory directory;
  directory.set_path(path);
  directory.set_device(file.st_dev);
  directory.set_inode(file.st_ino);
  return directory;
}

}  // namespace portreeve::server
