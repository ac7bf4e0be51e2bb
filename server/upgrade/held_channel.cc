#include "server/upgrade/held_channel.h"

#include <sys/epoll.h>

#include <cerrno>
#include <span>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "lib/base/guarded.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/net/close_socket.h"
#include "server/api/convert.h"
#include "server/api/utf8.h"

namespace portreeve::server {
namespace {

using internal::v1::HandoverHeldProgress;

// How many connections are in one message, which has to fit into a packet.
constexpr int kMostInMessage = 500;
// How many bytes of the message of a handler's error are told.
constexpr size_t kMostText = 16 << 10;
// How many messages one step takes.
constexpr int kMostInStep = 64;
// How many bytes of a connection are in one message.
constexpr size_t kMostBytes = 48 << 10;

std::optional<HandlerErrorOutcome> OutcomeOf(v1::HandlerVerdict verdict) {
  switch (verdict) {
    case v1::HANDLER_VERDICT_UNSPECIFIED:
      return std::nullopt;
    case v1::HANDLER_VERDICT_RETURN:
      return HandlerErrorOutcome::kReturned;
    default:
      return HandlerErrorOutcome::kRaised;
  }
}

void LogLost(const absl::Status& why) {
  Log(LogLevel::kError,
      absl::StrCat("upgrade: ", absl::string_view(why.message())));
}

bool IsShortage(const absl::Status& status) {
  const int error = DetailOf(status).error_number;
  return error == ENOMEM || error == ENOBUFS;
}

}  // namespace

HeldChannel::HeldChannel(Loop& loop, HandoverChannel channel, Owner& owner)
    : poller_(Poller::Of(loop.context())),
      channel_(std::move(channel)),
      owner_(owner) {}

HeldChannel::~HeldChannel() { End(); }

void HeldChannel::Start() { Watch(true); }

void HeldChannel::StartDeaf() { Watch(false); }

void HeldChannel::Watch(bool hears) {
  hears_ = hears;
  const uint32_t events = hears ? EPOLLIN : 0;
  const int error = poller_.Add(channel_->native_handle(), events, *this);
  if (error != 0) {
    LogLost(ErrnoError(error, "epoll_ctl", "the other process"));
    return Fail(/*has_failed=*/true);
  }
  watched_ = true;
  SendWaiting();
  Receive();
}

void HeldChannel::Fail(bool has_failed) {
  if (has_failed) owner_.OnFailing();
  End();
  owner_.OnEnd(has_failed);
}

void HeldChannel::End() {
  ended_ = true;
  waiting_.clear();
  if (std::exchange(watched_, false)) {
    poller_.RemoveNow(channel_->native_handle(), *this);
  }
  // The other process learns of it, and descriptors on their way are closed.
  channel_.reset();
}

void HeldChannel::OnReady(uint32_t events, int) {
  // One that is not heard is told of by that alone.
  if (!hears_ && (events & (EPOLLHUP | EPOLLERR)) != 0) {
    return Fail(/*has_failed=*/false);
  }
  Receive();
  SendWaiting();
}

void HeldChannel::Receive() {
  // What is left is told of again.
  for (int i = 0; i < kMostInStep && hears_ && !ended_; ++i) {
    auto packet = channel_->Receive(TimePoint::min());
    if (packet.ok()) {
      owner_.OnMessage(packet->message, std::move(packet->descriptors));
      continue;
    }
    switch (FaultOf(packet.status())) {
      case ChannelFault::kTimeout:
        return;
      case ChannelFault::kEnded:
        return Fail(/*has_failed=*/false);
      case ChannelFault::kSystem:
        // It is told of again while there is no memory.
        if (IsShortage(packet.status())) return;
        LogLost(packet.status());
        return Fail(/*has_failed=*/true);
      default:
        // The peer of a connection whose descriptor was in it is reset.
        owner_.OnLost();
        LogLost(packet.status());
    }
  }
}

void HeldChannel::Send(Handover message) {
  Send(std::move(message), Descriptor());
}

void HeldChannel::Send(Handover message, Descriptor fd) {
  absl::Cleanup reset = [&fd] {
    if (fd.is_open()) MakeCloseReset(fd.get());
  };
  if (ended_) return;
  waiting_.emplace_back();
  waiting_.back() = {std::move(message), std::move(fd)};
  std::move(reset).Cancel();
  // Until the other process has it, which takes this back: whatever becomes of
  // it on its way, what is cut does not look whole.
  if (waiting_.back().fd.is_open()) MakeCloseReset(waiting_.back().fd.get());
  if (waiting_.size() == 1) SendWaiting();
}

void HeldChannel::SendWaiting() {
  while (!ended_ && !waiting_.empty()) {
    const Waiting& next = waiting_.front();
    const int fd = next.fd.get();
    const std::span<const int> fds(&fd, next.fd.is_open() ? 1 : 0);
    const auto sent = channel_->Send(next.message, fds, TimePoint::min());
    if (FaultOf(sent) == ChannelFault::kTooLarge) {
      // It would hold up all that comes after it.
      Log(LogLevel::kError,
          absl::StrCat("upgrade: not told: ", std::string(sent.message())));
    } else if (FaultOf(sent) == ChannelFault::kEnded) {
      // It takes no more, and is heard, if it has anything to say, to its end.
      waiting_.clear();
      break;
    } else if (!sent.ok()) {
      // There is no room, or something has come, which is received next.
      break;
    }
    waiting_.pop_front();
  }
  if (!watched_) return;
  // Where acknowledgements are awaited, these come.
  const bool awaits_room = !waiting_.empty() && channel_->num_unacknowledged() <
                                                    HandoverChannel::kWindow;
  const uint32_t events = (hears_ ? EPOLLIN : 0) | (awaits_room ? EPOLLOUT : 0);
  (void)poller_.Change(channel_->native_handle(), events, *this);
}

HeldReporter::HeldReporter(Loop& loop, Registry& registry,
                           std::function<void()> on_drain_now)
    : loop_(loop),
      registry_(registry),
      on_drain_now_(std::move(on_drain_now)),
      timer_(TimeSource::Of(loop.context())) {}

HeldReporter::~HeldReporter() {
  for (const Early& early : early_) {
    if (early.fd.is_open()) MakeCloseReset(early.fd.get());
  }
}

void HeldReporter::Start(HandoverChannel channel, bool is_deaf) {
  started_ = true;
  HeldChannel::Owner& owner = *this;
  channel_ = std::make_unique<HeldChannel>(loop_, std::move(channel), owner);
  for (Early& early : std::exchange(early_, {})) {
    channel_->Send(std::move(early.message), std::move(early.fd));
  }
  if (is_deaf) {
    channel_->StartDeaf();
  } else {
    channel_->Start();
  }
  TellProgress();  // Unless it has ended by now.
}

void HeldReporter::Send(Handover message) {
  if (!started_) {
    early_.emplace_back();
    early_.back().message = std::move(message);
    return;
  }
  if (channel_ != nullptr) channel_->Send(std::move(message));
}

void HeldReporter::OnClosed(const LiveConnection& live) {
  told_.erase(live.connection->id());
  Handover message;
  *message.mutable_held_closed()->mutable_connection() = Describe(live);
  Send(std::move(message));
}

void HeldReporter::OnHandlerError(int64_t id, const std::string& listener,
                                  const std::string& uid,
                                  const std::string& text,
                                  std::optional<HandlerErrorOutcome> outcome) {
  Handover message;
  auto& raised = *message.mutable_raised();
  raised.set_connection_id(id);
  raised.set_listener_id(listener);
  raised.set_listener_uid(uid);
  // A client may say more than a message takes.
  raised.set_message(std::string(ClipUtf8(text, kMostText)));
  if (outcome) raised.set_outcome(ToProto(*outcome));
  Send(std::move(message));
}

bool HeldReporter::TakesMore() const {
  return !started_ || (channel_ != nullptr && !channel_->has_ended());
}

void HeldReporter::OnMovedOn(internal::v1::HandoverMovedOn record,
                             const std::string& to_write, Descriptor fd) {
  absl::Cleanup reset = [&fd] {
    if (fd.is_open()) MakeCloseReset(fd.get());
  };
  told_.erase(record.id());
  // There is one at least, by which the other process knows whose the
  // descriptor was, if it has no room for that.
  for (size_t at = 0; at == 0 || at < to_write.size(); at += kMostBytes) {
    Handover message;
    auto& moved = *message.mutable_moved_bytes();
    moved.set_id(record.id());
    moved.set_bytes(to_write.substr(at, kMostBytes));
    Send(std::move(message));
  }
  record.set_num_bytes(static_cast<int64_t>(to_write.size()));
  Handover message;
  *message.mutable_moved_on() = std::move(record);
  if (!started_) {
    early_.emplace_back();
    early_.back() = {std::move(message), std::move(fd)};
  } else if (channel_ != nullptr) {
    channel_->Send(std::move(message), std::move(fd));
  }
}

void HeldReporter::TellProgress() {
  if (channel_ == nullptr || channel_->has_ended()) return;
  // It goes on also where there is no memory for the rest.
  timer_.StartAfter(kInterval, [this] { Guarded([this] { TellProgress(); }); });
  // One that does not read gets what there is once it does.
  if (!channel_->is_sent()) return;
  Handover message;
  for (const auto& [id, live] : registry_.connections().entries()) {
    const AnyConnection& connection = *live->connection;
    const HeldCounts now{connection.bytes_received(), connection.bytes_sent(),
                         static_cast<int64_t>(connection.bytes_to_write()),
                         connection.reason()};
    const auto [told, is_new] = told_.try_emplace(id);
    if (!is_new && told->second == now) continue;
    told->second = now;
    auto& put = *message.mutable_held_progress()->add_connections();
    put.set_id(id);
    put.set_bytes_received(now.bytes_received);
    put.set_bytes_sent(now.bytes_sent);
    put.set_bytes_to_write(now.bytes_to_write);
    put.set_close_reason(ToProto(now.reason));
    if (message.held_progress().connections_size() < kMostInMessage) continue;
    channel_->Send(std::exchange(message, {}));
  }
  if (message.has_held_progress()) channel_->Send(std::move(message));
}

void HeldReporter::OnMessage(const Handover& message, std::vector<Descriptor>) {
  if (message.has_close_held()) {
    const auto& close = message.close_held();
    const auto live = registry_.connections().Find(close.id());
    const auto how = FromProto(close.mode());
    if (live == nullptr || !how.ok()) return;
    live->facts.close_called = true;
    live->connection->Close(*how, FromProto(close.reason()));
  } else if (message.has_drain_now()) {
    on_drain_now_();
  }
}

void HeldReporter::OnEnd(bool has_failed) {
  timer_.Cancel();
  const size_t left = registry_.connections().entries().size();
  const std::string connections =
      absl::StrCat(left, left == 1 ? " connection" : " connections");
  if (has_failed) {
    // The next process knows nothing of them any more.
    Log(LogLevel::kError,
        absl::StrCat("upgrade: the next process can be told nothing; ",
                     connections, " to be closed"));
    on_drain_now_();
  } else {
    Log(LogLevel::kWarning,
        absl::StrCat("upgrade: the next process is gone; ", connections,
                     left == 1 ? " goes" : " go", " on here"));
  }
  // It is called by the channel, which may not be destroyed then.
  const std::shared_ptr<HeldChannel> ended = std::move(channel_);
  loop_.Post([ended] {});
}

HeldFollower::HeldFollower(Loop& loop, Registry& registry,
                           HandoverChannel channel,
                           std::optional<HandoverPeer> peer, Duration most,
                           std::function<void()> on_end)
    : registry_(registry),
      peer_(std::move(peer)),
      most_(most),
      on_end_(std::move(on_end)),
      channel_(loop, std::move(channel), *this),
      overdue_(TimeSource::Of(loop.context())) {
  registry_.SetHolder(this);
}

void HeldFollower::Start() {
  overdue_.StartAfter(most_, [this] {
    if (!peer_ || (!has_failed_ && registry_.num_held() == 0)) return;
    Log(LogLevel::kError,
        absl::StrCat("upgrade: the former process, ", peer_->pid(),
                     ", should have ended by now, and is killed"));
    (void)peer_->Kill();
  });
  channel_.Start();
}

HeldFollower::~HeldFollower() { registry_.SetHolder(nullptr); }

void HeldFollower::DrainNow() {
  Handover message;
  message.mutable_drain_now();
  channel_.Send(std::move(message));
}

void HeldFollower::Close(int64_t id, ExistingConnections how,
                         CloseReason reason) {
  Handover message;
  auto& close = *message.mutable_close_held();
  close.set_id(id);
  close.set_mode(how == ExistingConnections::kReset ? v1::CLOSE_MODE_RESET
                                                    : v1::CLOSE_MODE_CLOSE);
  close.set_reason(ToProto(reason));
  channel_.Send(std::move(message));
}

void HeldFollower::OnMessage(const Handover& message,
                             std::vector<Descriptor> descriptors) {
  if (message.has_held_progress()) {
    for (const auto& told : message.held_progress().connections()) {
      registry_.OnHeldProgress(
          told.id(), {told.bytes_received(), told.bytes_sent(),
                      told.bytes_to_write(), FromProto(told.close_reason())});
    }
  } else if (message.has_held_closed()) {
    registry_.OnHeldClosed(message.held_closed().connection());
  } else if (message.has_moved_bytes()) {
    // They come one connection after the other.
    const auto& moved = message.moved_bytes();
    if (moved.id() != bytes_of_) bytes_.clear();
    bytes_of_ = moved.id();
    bytes_.append(moved.bytes());
  } else if (message.has_moved_on()) {
    const auto& moved = message.moved_on();
    std::string to_write;
    if (moved.id() == bytes_of_) to_write.swap(bytes_);
    bytes_of_ = 0;
    registry_.OnHeldMovedOn(moved, std::move(to_write), std::move(descriptors));
  } else if (message.has_raised()) {
    const auto& raised = message.raised();
    registry_.OnHeldHandlerError(raised.listener_id(), raised.listener_uid(),
                                 raised.connection_id(), raised.message(),
                                 OutcomeOf(raised.outcome()));
  }
}

void HeldFollower::OnLost() {
  bytes_.clear();
  registry_.OnHeldLost(std::exchange(bytes_of_, 0));
}

void HeldFollower::OnEnd(bool has_failed) {
  has_failed_ = has_failed;
  const size_t lost = registry_.num_held();
  if (has_failed) {
    Log(LogLevel::kError,
        absl::StrCat("upgrade: the former process cannot be followed: it is to "
                     "end, and ",
                     lost, lost == 1 ? " connection is" : " connections are",
                     " lost"));
  } else if (lost > 0) {
    Log(LogLevel::kWarning,
        absl::StrCat("upgrade: the former process is gone, and with it ", lost,
                     " connections"));
  }
  registry_.OnHolderLost(CloseReason::kProcessLost);
  if (has_failed) return;
  overdue_.Cancel();
  on_end_();
}

}  // namespace portreeve::server
