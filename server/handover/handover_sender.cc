#include "server/handover/handover_sender.h"

#include <unistd.h>

#include <array>
#include <exception>
#include <new>
#include <span>
#include <utility>

#include "lib/base/status.h"
#include "server/api/utf8.h"
#include "server/handover/handover_records.h"

namespace portreeve::server {
namespace {

using Action = PredecessorPolicy::Action;
using internal::v1::HandoverConnections;
using internal::v1::HandoverControl;
using internal::v1::HandoverListeners;
using internal::v1::HandoverRequests;

// Sends the contents.
class ContentsSender {
 public:
  ContentsSender(HandoverChannel& channel, HandoverSource& source,
                 TimePoint deadline, HandoverCounts& counts)
      : channel_(channel),
        source_(source),
        deadline_(deadline),
        counts_(counts) {}

  absl::Status SendAll() {
    if (auto s = SendCounters(); !s.ok()) return s;
    if (auto s = SendRecords(); !s.ok()) return s;
    if (auto s = SendEvents(); !s.ok()) return s;
    if (auto s = SendStore(); !s.ok()) return s;
    Handover end;
    *end.mutable_end()->mutable_counts() = counts_;
    return channel_.Send(std::move(end), {}, deadline_);
  }

 private:
  absl::Status Send(Handover message, std::span<const int> descriptors) {
    counts_.set_descriptors(counts_.descriptors() +
                            static_cast<int64_t>(descriptors.size()));
    return channel_.Send(std::move(message), descriptors, deadline_);
  }

  absl::Status SendCounters() {
    auto counters = source_.Counters();
    if (!counters.ok()) return counters.status();
    Handover message;
    *message.mutable_counters() = *std::move(counters);
    return Send(std::move(message), {});
  }

  absl::Status SendRecords() {
    int64_t count = 0;
    if (auto s = SendKind(&HandoverSource::NextListener,
                          &Handover::mutable_listeners, count);
        !s.ok()) {
      return s;
    }
    counts_.set_listeners(std::exchange(count, 0));
    if (auto s = SendKind(&HandoverSource::NextControlSocket,
                          &Handover::mutable_control, count);
        !s.ok()) {
      return s;
    }
    counts_.set_control_sockets(std::exchange(count, 0));
    if (auto s = SendKind(&HandoverSource::NextRequest,
                          &Handover::mutable_requests, count);
        !s.ok()) {
      return s;
    }
    counts_.set_requests(std::exchange(count, 0));
    if (auto s = SendKind(&HandoverSource::NextConnection,
                          &Handover::mutable_connections, count);
        !s.ok()) {
      return s;
    }
    counts_.set_connections(count);
    return absl::OkStatus();
  }

  template <typename Record, typename Batch>
  absl::Status SendKind(absl::StatusOr<std::optional<SourceRecord<Record>>> (
                            HandoverSource::*next)(),
                        Batch* (Handover::*part)(), int64_t& count) {
    RecordPacker<Batch, Record> packer;
    const auto send = [&] {
      auto packed = packer.Take();
      Handover message;
      *(message.*part)() = std::move(packed.batch);
      return Send(std::move(message), packed.descriptors);
    };
    for (;;) {
      auto given = (source_.*next)();
      if (!given.ok()) return given.status();
      if (!given->has_value()) break;
      SourceRecord<Record>& one = **given;
      auto added = packer.Add(one.record, one.descriptors);
      if (!added.ok()) return added.status();
      if (!*added) {
        if (auto s = send(); !s.ok()) return s;
        added = packer.Add(one.record, one.descriptors);
        if (!added.ok()) return added.status();
      }
      ++count;
    }
    return packer.is_empty() ? absl::OkStatus() : send();
  }

  absl::Status SendEvents() {
    auto events = source_.TakeEvents();
    if (!events.ok()) return events.status();
    const auto file = SealFile(events->memfd.get());
    if (!file.ok()) return file.status();
    events->record.set_num_descriptors(1);
    events->record.set_bytes(file->bytes);
    events->record.set_crc(file->crc);
    counts_.set_event_bytes(file->bytes);
    Handover message;
    *message.mutable_events() = std::move(events->record);
    return Send(std::move(message), std::array{events->memfd.get()});
  }

  absl::Status SendStore() {
    auto store = source_.Store();
    if (!store.ok()) return store.status();
    if (!store->has_value()) return absl::OkStatus();
    counts_.set_stores(1);
    (*store)->record.set_num_descriptors(
        static_cast<int32_t>((*store)->descriptors.size()));
    Handover message;
    *message.mutable_store() = std::move((*store)->record);
    return Send(std::move(message), (*store)->descriptors);
  }

  HandoverChannel& channel_;
  HandoverSource& source_;
  const TimePoint deadline_;
  HandoverCounts& counts_;
};

class Sender {
 public:
  Sender(HandoverChannel& channel, HandoverPeer& peer, HandoverSource& source,
         PredecessorTerms terms, std::string program_version,
         TimePoint hello_by, HandoverClock& clock)
      : channel_(channel),
        peer_(peer),
        source_(source),
        clock_(clock),
        program_version_(std::move(program_version)),
        policy_(std::move(terms), hello_by) {}

  HandoverOutcome Run() {
    while (!IsOver()) {
      const Action action = policy_.action();
      try {
        if (auto s = Try(action); !s.ok()) policy_.OnFault(s);
      } catch (const std::bad_alloc&) {
        policy_.OnNoMemory();
      }
    }
    HandoverOutcome outcome;
    outcome.end = end_;
    outcome.step = policy_.step();
    if (end_ != HandoverOutcome::End::kHandedOver) {
      outcome.reason = policy_.TakeReason();
    }
    outcome.is_deaf = policy_.is_deaf();
    outcome.successor_version = std::move(successor_version_);
    outcome.counts = counts_;
    outcome.frozen = frozen_;
    return outcome;
  }

 private:
  bool IsOver() {
    switch (policy_.action()) {
      case Action::kRefused:
        end_ = HandoverOutcome::End::kRefused;
        return true;
      case Action::kThawed:
        end_ = HandoverOutcome::End::kThawed;
        return true;
      case Action::kHandedOver:
        frozen_ = clock_.Now() - frozen_since_;
        source_.HandedOver();
        end_ = HandoverOutcome::End::kHandedOver;
        return true;
      case Action::kCrashed:
        end_ = HandoverOutcome::End::kCrashed;
        return true;
      default:
        return false;
    }
  }

  // What the source throws is an error like others.
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
      case Action::kAwait:
        return Receive();
      case Action::kRefuse: {
        Handover message;
        message.mutable_refused()->set_reason(ErrorText(policy_.reason()));
        return Send(std::move(message));
      }
      case Action::kAccept: {
        Handover message;
        auto& accepted = *message.mutable_accepted();
        accepted.set_version(policy_.version());
        accepted.set_pid(getpid());
        accepted.set_program_version(program_version_);
        return Send(std::move(message));
      }
      case Action::kFreeze: {
        frozen_since_ = clock_.Now();
        if (auto s = source_.Freeze(policy_.deadline()); !s.ok()) return s;
        break;
      }
      case Action::kSendContents:
        return SendContents();
      case Action::kSendCommit: {
        Handover message;
        message.mutable_commit()->set_deadline_nanos(
            policy_.commit_deadline().time_since_epoch().count());
        return Send(std::move(message));
      }
      case Action::kRefuseMore:
        channel_.RefuseMore();
        policy_.OnSearched(FindServing());
        return absl::OkStatus();
      case Action::kSearch:
        policy_.OnSearched(FindServing());
        return absl::OkStatus();
      case Action::kKill:
        // Where it cannot be killed, or does not die, it serves no more than a
        // dead one does: it can say nothing any more.
        if (peer_.Kill().ok()) {
          peer_.AwaitDeath(clock_,
                           After(clock_.Now(), PredecessorPolicy::kMostDying));
        }
        break;
      case Action::kThaw:
        source_.Thaw(policy_.step(), policy_.reason());
        frozen_ = clock_.Now() - frozen_since_;
        break;
      default:
        break;
    }
    policy_.OnDone(clock_.Now());
    return absl::OkStatus();
  }

  absl::Status Receive() {
    auto packet = channel_.Receive(policy_.deadline());
    if (!packet.ok()) return packet.status();
    if (packet->message.has_hello()) {
      source_.OnHello(packet->message.hello());
      policy_.set_num_descriptors(source_.CountDescriptors());
      successor_version_ = packet->message.hello().program_version();
    }
    policy_.OnMessage(packet->message, clock_.Now());
    return absl::OkStatus();
  }

  absl::Status Send(Handover message) {
    return AfterSending(
        channel_.Send(std::move(message), {}, policy_.deadline()),
        [this] { policy_.OnDone(clock_.Now()); });
  }

  absl::Status SendContents() {
    ContentsSender contents(channel_, source_, policy_.deadline(), counts_);
    return AfterSending(contents.SendAll(), [this] {
      policy_.OnContentsSent(counts_, clock_.Now());
    });
  }

  // Calls `done` where all was sent.  Where the successor takes no more, or has
  // said something, that is likely to be why.
  template <typename Done>
  absl::Status AfterSending(const absl::Status& sent, Done done) {
    if (sent.ok()) {
      done();
      return sent;
    }
    const ChannelFault fault = FaultOf(sent);
    if (fault != ChannelFault::kEnded && fault != ChannelFault::kInterrupted) {
      return sent;
    }
    auto packet = channel_.Receive(TimePoint::min());
    if (!packet.ok()) {
      return fault == ChannelFault::kInterrupted ? packet.status() : sent;
    }
    policy_.OnMessage(packet->message, clock_.Now());
    return absl::OkStatus();
  }

  // Reads all that has come, and whatever is wrong with it.
  bool FindServing() {
    bool found = false;
    for (int troubles = 0; troubles < kMostTroubles;) {
      try {
        const auto packet = channel_.Receive(TimePoint::min());
        if (packet.ok()) {
          found |= packet->message.has_serving();
          continue;
        }
        const ChannelFault fault = FaultOf(packet.status());
        if (fault == ChannelFault::kTimeout || fault == ChannelFault::kEnded) {
          break;
        }
      } catch (const std::bad_alloc&) {
        // Nothing is lost by that; but where there is no more memory at all,
        // nobody knows what there is.
        if (troubles + 1 == kMostTroubles) throw;
      }
      ++troubles;
    }
    return found;
  }

  // How many packets that are none a successor may have left behind.
  static constexpr int kMostTroubles = 1000;

  HandoverChannel& channel_;
  HandoverPeer& peer_;
  HandoverSource& source_;
  HandoverClock& clock_;
  const std::string program_version_;
  PredecessorPolicy policy_;
  HandoverCounts counts_;
  TimePoint frozen_since_;
  Duration frozen_{};
  HandoverOutcome::End end_ = HandoverOutcome::End::kRefused;
  std::string successor_version_;
};

}  // namespace

HandoverOutcome HandOver(
    HandoverChannel& channel, HandoverPeer& peer, HandoverSource& source,
    const std::optional<internal::v1::HandoverDirectory>& state,
    const std::string& program_version, TimePoint hello_by,
    HandoverClock& clock) {
  return Sender(channel, peer, source, {peer.pid(), state}, program_version,
                hello_by, clock)
      .Run();
}

}  // namespace portreeve::server
