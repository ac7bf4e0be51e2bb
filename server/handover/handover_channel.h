// HandoverChannel: the socket between two processes of which one hands over to
// the other (proto/portreeve/internal/v1/handover.proto).
#ifndef PORTREEVE_SERVER_HANDOVER_HANDOVER_CHANNEL_H_
#define PORTREEVE_SERVER_HANDOVER_HANDOVER_CHANNEL_H_

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"
#include "lib/base/time_source.h"
#include "portreeve/internal/v1/handover.pb.h"
#include "server/handover/handover_clock.h"

namespace portreeve::server {

using Handover = internal::v1::Handover;

// What is wrong with a channel, or with what has come through it.
enum class ChannelFault {
  kNone,
  kTimeout,          // The deadline has passed; nothing was sent or received.
  kEnded,            // The other side has closed it, or takes no more.
  kInterrupted,      // A message has come that Receive() gives: nothing was
                     // sent, and Send() can be called again after that.
  kTooLarge,         // It goes into no packet: a fault of ours.
  kCut,              // A packet is longer than it may be.
  kDescriptorsLost,  // The kernel had no room for descriptors.
  kDescriptorCount,  // There are more or fewer than the message says.
  kMalformed,        // It is no message.
  kOutOfOrder,       // One is missing.
  kNotOurs,          // The other process is not this user's.
  kSystem,           // Anything else; the errno is in the Status.
};

// Gives kSystem for an error that is none of a channel's.
ChannelFault FaultOf(const absl::Status& status);
absl::Status ChannelError(ChannelFault fault, absl::string_view message);

// Sends and receives messages with descriptors.  Those that are received have
// CLOEXEC and an owner from the beginning: on every error they are closed, and
// nothing else is done to them.
//
// A process that reaches its RLIMIT_NOFILE loses descriptors that were sent to
// it, and no call fails: that is found here, and is kDescriptorsLost.
//
// All methods whose error is an absl::Status give one of ChannelFault's.
//
// Memory: where Send() throws std::bad_alloc, the message may have been sent;
// where Receive() does, nothing is lost, and it can be called again.
// Threads: one at a time.
class HandoverChannel {
 public:
  // The kernel takes 253 descriptors; and packets that are not much longer, or
  // it needs large pieces of memory.
  static constexpr size_t kMaxBytes = 60'000;
  static constexpr size_t kMaxDescriptors = 250;
  // How many messages that have descriptors, or belong to the contents, may not
  // be acknowledged yet: for a user who is not root the kernel lets only about
  // as many descriptors be on their way as RLIMIT_NOFILE says, which is 1024.
  static constexpr int kWindow = 4;

  // `socket` has to be a connected unix socket of type SOCK_SEQPACKET, and the
  // other process of the same effective user: what goes through it is all that
  // the daemon may do, and this process may have to kill that one.  `clock`
  // must outlive the channel.  Errors: kNotOurs, kSystem.
  static absl::StatusOr<HandoverChannel> Open(
      Descriptor socket, HandoverClock& clock = HandoverClock::System());

  HandoverChannel(HandoverChannel&&) = default;

  // Who had the other end when it was connected, or made by socketpair(2).
  const ucred& peer() const { return peer_; }
  // Whether anybody still has that end.
  bool HasPeer() const;
  // For a poller.  It can be readable while Receive() gives nothing, because
  // of an `ack`.
  int native_handle() const { return socket_.get(); }

  // Sends `message`, of which only the kind is set, with copies of
  // `descriptors`, which stay the caller's.  It waits for room, until
  // `deadline`, and not at all if that is past.
  // Errors: kTimeout, kEnded, kInterrupted, kTooLarge, kSystem: nothing was
  // sent.
  absl::Status Send(Handover message, std::span<const int> descriptors,
                    TimePoint deadline);

  struct Packet {
    Handover message;
    std::vector<Descriptor> descriptors;
  };
  // Receives the next message, and acknowledges it if it wants that.  It waits
  // until `deadline`, and not at all if that is past.  It gives no `ack`; its
  // kind can be one that this version does not know (KIND_NOT_SET).
  // Errors: kTimeout, kEnded; kCut, kDescriptorsLost, kDescriptorCount,
  // kMalformed, kOutOfOrder: the packet is lost, though acknowledged where it
  // can be read, and the next one can be received; kSystem.
  absl::StatusOr<Packet> Receive(TimePoint deadline);

  // Takes no more from the other side: what it has sent by now can be received,
  // and whatever it sends from now on fails, with kEnded.  There is nothing in
  // between.
  void RefuseMore();

  // How many messages are sent and not acknowledged, of those that want it.
  int num_unacknowledged() const { return static_cast<int>(unacked_.size()); }

 private:
  // More than anybody may send, so that all there are can be closed.
  static constexpr size_t kControlBytes = CMSG_SPACE(sizeof(int) * 253);
  struct Buffers {
    char bytes[kMaxBytes];
    alignas(cmsghdr) char control[kControlBytes];
  };

  HandoverChannel(Descriptor socket, const ucred& peer, HandoverClock& clock);

  // Sends `bytes`; gives 0 or the errno.
  int SendNow(const std::string& bytes, std::span<const int> descriptors);
  // Sends the acknowledgement that is owed, if there is room.
  void SendAck() noexcept;
  // Gives nothing where there is nothing yet, or only acknowledgements.
  absl::StatusOr<std::optional<Packet>> ReceiveNow();
  absl::StatusOr<std::optional<Packet>> ReceivePacket();
  // Receives into buffers_ and the like; gives 0 or the errno.  No bytes: the
  // other side has ended.
  int ReceiveBytes();
  absl::StatusOr<std::optional<Packet>> ReadPacket();
  absl::Status Check(const Handover& message) const;
  // Waits until it can be read; with `to_write` until it can be written to
  // will do.  False at `deadline`.
  bool Wait(bool to_write, TimePoint deadline);

  Descriptor socket_;
  ucred peer_;
  HandoverClock* clock_;
  std::unique_ptr<Buffers> buffers_;
  // The packet that is in buffers_, until it has been read.
  size_t received_bytes_ = 0;
  int received_flags_ = 0;
  std::vector<Descriptor> received_;
  bool refuses_ = false;  // RefuseMore() was called.
  std::string sent_bytes_;
  int64_t last_sent_ = 0;
  // The numbers of those that wait for their `ack`, in their order.
  std::deque<int64_t> unacked_;
  // Nothing: the one before could not be read.
  std::optional<int64_t> last_received_ = 0;
  int64_t owed_ack_ = 0;  // 0: none.
  // What came while Send() waited.
  std::optional<absl::StatusOr<Packet>> interruption_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HANDOVER_HANDOVER_CHANNEL_H_
