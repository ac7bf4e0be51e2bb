#include "server/handover/handover_channel.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status.h"
#include "lib/net/peer_credentials.h"

namespace portreeve::server {
namespace {

constexpr char kFaultUrl[] = "portreeve/channel_fault";
constexpr char kWhere[] = "the hand-over's socket";

absl::StatusCode CodeOf(ChannelFault fault) {
  switch (fault) {
    case ChannelFault::kTimeout:
      return absl::StatusCode::kDeadlineExceeded;
    case ChannelFault::kEnded:
    case ChannelFault::kInterrupted:
      return absl::StatusCode::kUnavailable;
    case ChannelFault::kDescriptorsLost:
      return absl::StatusCode::kResourceExhausted;
    case ChannelFault::kNotOurs:
      return absl::StatusCode::kPermissionDenied;
    case ChannelFault::kTooLarge:
      return absl::StatusCode::kInternal;
    default:
      return absl::StatusCode::kDataLoss;
  }
}

// Those of the contents want an acknowledgement each: many come one after the
// other.
bool IsOfContents(const Handover& message) {
  switch (message.kind_case()) {
    case Handover::kCounters:
    case Handover::kListeners:
    case Handover::kControl:
    case Handover::kRequests:
    case Handover::kConnections:
    case Handover::kEvents:
    case Handover::kStore:
    case Handover::kEnd:
      return true;
    default:
      return false;
  }
}

// Whether the kernel may have room once what is on its way has arrived.
bool IsShortage(int error) {
  return error == ETOOMANYREFS || error == ENOBUFS || error == ENOMEM;
}

bool IsEnd(int error) { return error == EPIPE || error == ECONNRESET; }

int OptionOf(int fd, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

void TakeDescriptors(msghdr& header, std::vector<Descriptor>& descriptors) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr;
       part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    const size_t bytes = part->cmsg_len - CMSG_LEN(0);
    for (size_t at = 0; at + sizeof(int) <= bytes; at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + at, sizeof fd);
      descriptors.emplace_back(fd);
    }
  }
}

}  // namespace

ChannelFault FaultOf(const absl::Status& status) {
  if (status.ok()) return ChannelFault::kNone;
  const auto payload = status.GetPayload(kFaultUrl);
  int value = 0;
  if (!payload.has_value() || !absl::SimpleAtoi(std::string(*payload), &value))
    return ChannelFault::kSystem;
  return static_cast<ChannelFault>(value);
}

absl::Status ChannelError(ChannelFault fault, absl::string_view message) {
  absl::Status status(CodeOf(fault), message);
  status.SetPayload(kFaultUrl, absl::Cord(absl::StrCat(int(fault))));
  return status;
}

absl::StatusOr<HandoverChannel> HandoverChannel::Open(Descriptor socket,
                                                      HandoverClock& clock) {
  if (OptionOf(socket.get(), SO_DOMAIN) != AF_UNIX ||
      OptionOf(socket.get(), SO_TYPE) != SOCK_SEQPACKET) {
    return ChannelError(ChannelFault::kSystem,
                        "it is no unix socket of type SOCK_SEQPACKET");
  }
  const auto peer = PeerCredentials(socket.get());
  if (!peer) return ErrnoError(errno, "getsockopt", kWhere);
  if (peer->uid != geteuid()) {
    return ChannelError(ChannelFault::kNotOurs,
                        absl::StrCat("process ", peer->pid, " is of user ",
                                     peer->uid, ", and not of ", geteuid()));
  }
  if (fcntl(socket.get(), F_SETFD, FD_CLOEXEC) != 0) {
    return ErrnoError(errno, "fcntl", kWhere);
  }
  return HandoverChannel(std::move(socket), *peer, clock);
}

HandoverChannel::HandoverChannel(Descriptor socket, const ucred& peer,
                                 HandoverClock& clock)
    : socket_(std::move(socket)),
      peer_(peer),
      clock_(&clock),
      buffers_(std::make_unique<Buffers>()) {}

bool HandoverChannel::HasPeer() const {
  pollfd fd = {socket_.get(), POLLRDHUP, 0};
  return poll(&fd, 1, 0) == 0;
}

absl::Status HandoverChannel::Send(Handover message,
                                   std::span<const int> descriptors,
                                   TimePoint deadline) {
  const bool wants_ack = IsOfContents(message) || !descriptors.empty();
  message.set_num_descriptors(static_cast<int32_t>(descriptors.size()));
  message.set_wants_ack(wants_ack);
  for (;;) {
    if (interruption_.has_value()) {
      return ChannelError(ChannelFault::kInterrupted,
                          "the other side has said something");
    }
    SendAck();  // Which takes a number, too.
    bool to_write = false;
    // One that refuses to hear waits for no acknowledgement.
    if (!wants_ack || refuses_ || unacked_.size() < kWindow) {
      message.set_number(last_sent_ + 1);
      if (message.ByteSizeLong() > kMaxBytes ||
          descriptors.size() > kMaxDescriptors) {
        return ChannelError(
            ChannelFault::kTooLarge,
            absl::StrCat("a message of ", message.ByteSizeLong(), " bytes and ",
                         descriptors.size(),
                         " descriptors goes into no packet"));
      }
      message.SerializeToString(&sent_bytes_);
      const int error = SendNow(sent_bytes_, descriptors);
      if (error == 0) {
        if (wants_ack) unacked_.push_back(last_sent_ + 1);
        ++last_sent_;
        return absl::OkStatus();
      }
      if (IsEnd(error)) {
        return ChannelError(ChannelFault::kEnded,
                            "the other process takes no more");
      }
      to_write = error == EAGAIN;
      // What is on its way makes room as it arrives, of which an `ack` tells.
      const bool awaits_ack = !refuses_ && !unacked_.empty();
      if (!to_write && !(IsShortage(error) && awaits_ack)) {
        return ErrnoError(error, "sendmsg", kWhere);
      }
    }
    if (!Wait(to_write, deadline)) {
      return ChannelError(ChannelFault::kTimeout,
                          "the other process does not read in time");
    }
    if (refuses_) continue;  // It would look as if the other side had ended.
    auto packet = ReceiveNow();
    if (!packet.ok()) {
      if (FaultOf(packet.status()) == ChannelFault::kEnded) {
        return packet.status();
      }
      interruption_ = packet.status();
    } else if (packet->has_value()) {
      interruption_ = std::move(**packet);
    }
  }
}

absl::StatusOr<HandoverChannel::Packet> HandoverChannel::Receive(
    TimePoint deadline) {
  if (interruption_.has_value()) {
    auto packet = *std::move(interruption_);
    interruption_.reset();
    return packet;
  }
  for (;;) {
    SendAck();
    auto packet = ReceiveNow();
    if (!packet.ok()) return packet.status();
    if (packet->has_value()) return std::move(**packet);
    if (!Wait(owed_ack_ != 0, deadline)) {
      return ChannelError(ChannelFault::kTimeout,
                          "the other process says nothing in time");
    }
  }
}

void HandoverChannel::RefuseMore() {
  refuses_ = true;
  shutdown(socket_.get(), SHUT_RD);
}

int HandoverChannel::SendNow(const std::string& bytes,
                             std::span<const int> descriptors) {
  iovec piece = {const_cast<char*>(bytes.data()), bytes.size()};
  msghdr header = {};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, kControlBytes> control;
  if (!descriptors.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    std::memset(control.data(), 0, header.msg_controllen);
    cmsghdr* const part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(part), descriptors.data(), descriptors.size_bytes());
  }
  for (;;) {
    if (sendmsg(socket_.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) {
      return 0;
    }
    if (errno != EINTR) return errno == EWOULDBLOCK ? EAGAIN : errno;
  }
}

void HandoverChannel::SendAck() noexcept {
  if (owed_ack_ == 0) return;
  int error = 0;
  try {
    Handover message;
    message.set_number(last_sent_ + 1);
    message.mutable_ack()->set_number(owed_ack_);
    error = SendNow(message.SerializeAsString(), {});
  } catch (const std::bad_alloc&) {
    return;
  }
  if (error == EAGAIN) return;
  if (error == 0) ++last_sent_;
  // After any other error nobody waits for it, or the next one makes it good.
  owed_ack_ = 0;
}

absl::StatusOr<std::optional<HandoverChannel::Packet>>
HandoverChannel::ReceiveNow() {
  for (;;) {
    auto packet = ReceivePacket();
    SendAck();
    if (!packet.ok() || !packet->has_value()) return packet;
    const Handover& message = (*packet)->message;
    if (!message.has_ack()) return packet;
    while (!unacked_.empty() && unacked_.front() <= message.ack().number()) {
      unacked_.pop_front();
    }
  }
}

absl::StatusOr<std::optional<HandoverChannel::Packet>>
HandoverChannel::ReceivePacket() {
  if (received_bytes_ == 0) {
    // Before they are there: what follows needs no memory until they have an
    // owner.
    received_.reserve(kControlBytes / sizeof(int));
    const int error = ReceiveBytes();
    if (error == EAGAIN) return std::nullopt;
    if (error == 0 && received_bytes_ == 0) {
      received_.clear();
      return ChannelError(ChannelFault::kEnded, "the other process has ended");
    }
    if (error != 0) return ErrnoError(error, "recvmsg", kWhere);
  }
  // What throws leaves the packet where it is, and the next call comes here.
  auto packet = ReadPacket();
  received_bytes_ = 0;
  received_.clear();
  return packet;
}

int HandoverChannel::ReceiveBytes() {
  iovec piece = {buffers_->bytes, sizeof buffers_->bytes};
  msghdr header = {};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  header.msg_control = buffers_->control;
  header.msg_controllen = sizeof buffers_->control;
  bool was_reset = false;
  for (;;) {
    const ssize_t size =
        recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size >= 0) {
      received_bytes_ = static_cast<size_t>(size);
      received_flags_ = header.msg_flags;
      TakeDescriptors(header, received_);
      return 0;
    }
    if (errno == EINTR) continue;
    // A process that ends before it has read all that was sent to it leaves
    // this, once, before what it has sent itself.
    if (errno == ECONNRESET && !std::exchange(was_reset, true)) continue;
    if (IsEnd(errno)) return 0;
    return errno == EWOULDBLOCK ? EAGAIN : errno;
  }
}

absl::StatusOr<std::optional<HandoverChannel::Packet>>
HandoverChannel::ReadPacket() {
  absl::Status wrong;
  Packet packet;
  std::optional<int64_t> number;
  if ((received_flags_ & MSG_TRUNC) != 0) {
    wrong = ChannelError(
        ChannelFault::kCut,
        absl::StrCat("a message is longer than ", kMaxBytes, " bytes"));
  } else if (!packet.message.ParseFromArray(
                 buffers_->bytes, static_cast<int>(received_bytes_))) {
    wrong = ChannelError(ChannelFault::kMalformed,
                         "what has come is no message of a hand-over");
  } else {
    number = packet.message.number();
    // Whatever else is wrong with it: the next ones wait for that.
    if (packet.message.wants_ack()) owed_ack_ = *number;
    wrong = Check(packet.message);
  }
  if ((received_flags_ & MSG_CTRUNC) != 0) {
    wrong = ChannelError(
        ChannelFault::kDescriptorsLost,
        "descriptors were lost on the way: this process has too many open");
  }
  last_received_ = number;
  if (!wrong.ok()) return wrong;
  // Those without any leave the memory for the next.
  if (!received_.empty()) packet.descriptors = std::exchange(received_, {});
  return packet;
}

absl::Status HandoverChannel::Check(const Handover& message) const {
  if (last_received_.has_value() && message.number() != *last_received_ + 1) {
    return ChannelError(ChannelFault::kOutOfOrder,
                        absl::StrCat("message ", message.number(),
                                     " came after message ", *last_received_));
  }
  if (received_.size() != static_cast<size_t>(message.num_descriptors())) {
    return ChannelError(
        ChannelFault::kDescriptorCount,
        absl::StrCat("a message has ", received_.size(),
                     " descriptors, and says ", message.num_descriptors()));
  }
  return absl::OkStatus();
}

bool HandoverChannel::Wait(bool to_write, TimePoint deadline) {
  const auto events =
      static_cast<short>((refuses_ ? 0 : POLLIN) | (to_write ? POLLOUT : 0));
  std::array<pollfd, 1> fds = {{{socket_.get(), events, 0}}};
  return clock_->Poll(fds, deadline);
}

}  // namespace portreeve::server
