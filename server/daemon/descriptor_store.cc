#include "server/daemon/descriptor_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/guarded.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "server/api/names.h"

namespace portreeve::server {
namespace {

std::string StoredName(const std::string& id) {
  return absl::StrCat("listener-", id);
}

void LogTrouble(const std::string& id, absl::string_view what) {
  const std::string name = ListenerName(id);
  const std::string message = absl::StrCat("--fdstore: ", what);
  Log({LogLevel::kWarning, message, name});
}

}  // namespace

// Waits until systemd has closed its end of a pipe, and so has done all that it
// was told before it got that.
class DescriptorStore::Barrier : public std::enable_shared_from_this<Barrier> {
 public:
  Barrier(DescriptorStore& owner, std::string id, std::function<void()> done)
      : owner_(&owner),
        id_(std::move(id)),
        done_(std::move(done)),
        read_end_(owner.loop_),
        late_(TimeSource::Of(owner.loop_)) {}

  // Gives an error where there is nothing to wait for.
  absl::Status Begin() {
    std::array<int, 2> ends;
    if (pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
      return ErrnoError(errno, "pipe", "a barrier");
    }
    read_end_.assign(ends[0]);
    const Descriptor write_end(ends[1]);
    if (auto s = owner_->notifier_.Barrier(write_end.get()); !s.ok()) return s;
    read_end_.async_wait(
        asio::posix::stream_descriptor::wait_read,
        [self = shared_from_this()](const boost::system::error_code&) {
          self->Finish(true);
        });
    late_.StartAfter(kMostWait, [self = weak_from_this()] {
      if (const auto barrier = self.lock()) barrier->Finish(false);
    });
    return absl::OkStatus();
  }

  void Abandon() {
    owner_ = nullptr;
    late_.Cancel();
    read_end_.close();
  }

 private:
  void Finish(bool answered) {
    if (owner_ == nullptr) return;
    if (!answered) {
      LogTrouble(id_,
                 "the service manager does not say that it has removed "
                 "the socket");
    }
    const auto self = shared_from_this();
    owner_->barriers_.erase(self);
    Abandon();
    std::exchange(done_, nullptr)();
  }

  DescriptorStore* owner_;  // Null once it is over.
  const std::string id_;
  std::function<void()> done_;
  asio::posix::stream_descriptor read_end_;
  Timer late_;
};

DescriptorStore::DescriptorStore(asio::io_context& loop, Notifier& notifier)
    : loop_(loop), notifier_(notifier), retry_(TimeSource::Of(loop)) {}

DescriptorStore::~DescriptorStore() {
  for (const auto& barrier : barriers_) barrier->Abandon();
}

void DescriptorStore::Keep(const std::string& id, int socket) {
  Guarded([&] {
    Send({Message::Kind::kKeep,
          id,
          Descriptor(fcntl(socket, F_DUPFD_CLOEXEC, 0)),
          nullptr,
          {}});
  });
}

void DescriptorStore::Release(const std::string& id,
                              std::function<void()> done) {
  Guarded([&] {
    Send({Message::Kind::kRelease, id, Descriptor(), std::move(done), {}});
  });
}

void DescriptorStore::Discard(const std::string& id) {
  Guarded([&] {
    Send({Message::Kind::kDiscard, id, Descriptor(), nullptr, {}});
  });
}

void DescriptorStore::Send(Message message) {
  message.since = TimeSource::Of(loop_).Now();
  waiting_.push_back(std::move(message));
  if (waiting_.size() == 1) SendWaiting();
}

void DescriptorStore::SendWaiting() {
  while (!waiting_.empty()) {
    const absl::Status status = TrySend(waiting_.front());
    const Duration waited =
        TimeSource::Of(loop_).Now() - waiting_.front().since;
    if (absl::IsAborted(status) && waited < kMostWait) {
      return retry_.StartAfter(kRetryAfter, [this] { SendWaiting(); });
    }
    const Message message = std::move(waiting_.front());
    waiting_.pop_front();
    if (!status.ok()) OnFailure(message, status);
  }
}

absl::Status DescriptorStore::TrySend(const Message& message) {
  const std::string name = StoredName(message.id);
  switch (message.kind) {
    case Message::Kind::kKeep:
      if (!message.socket.is_open()) {
        return ErrnoError(EMFILE, "dup", "the socket");
      }
      return notifier_.Store(name, message.socket.get());
    case Message::Kind::kDiscard:
      return notifier_.Remove(name);
    case Message::Kind::kRelease:
      break;
  }
  if (auto s = notifier_.Remove(name); !s.ok()) return s;
  auto barrier = std::make_shared<Barrier>(*this, message.id, message.done);
  barriers_.insert(barrier);
  absl::Status status = barrier->Begin();
  if (!status.ok()) {
    barrier->Abandon();
    barriers_.erase(barrier);
  }
  return status;
}

void DescriptorStore::OnFailure(const Message& message,
                                const absl::Status& status) {
  const bool keeps = message.kind == Message::Kind::kKeep;
  LogTrouble(message.id,
             absl::StrCat(keeps ? "the socket does not outlive the process: "
                                : "the service manager may keep the socket: ",
                          absl::string_view(status.message())));
  if (message.done) asio::post(loop_, message.done);
}

}  // namespace portreeve::server
