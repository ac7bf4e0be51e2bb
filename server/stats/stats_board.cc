#include "server/stats/stats_board.h"

#include <algorithm>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <iterator>
#include <memory>
#include <new>
#include <utility>

#include "portreeve/v1/stats.pb.h"
#include "server/api/backward_writer.h"
#include "server/api/timestamp.h"
#include "server/events/connection_histograms.h"
#include "server/registry/listener_resource.h"

namespace portreeve::server {
namespace {

constexpr std::chrono::seconds kAfterNoMemory{1};

google::protobuf::Duration DurationOf(Duration duration) {
  constexpr int64_t kSecond = 1'000'000'000;
  google::protobuf::Duration message;
  message.set_seconds(duration.count() / kSecond);
  message.set_nanos(static_cast<int32_t>(duration.count() % kSecond));
  return message;
}

// Gives the message of one histogram.
template <typename Sizes>
v1::Histogram ToProto(const Sizes& sizes) {
  v1::Histogram message;
  message.mutable_counts()->Add(sizes.counts().begin(), sizes.counts().end());
  message.set_sum(sizes.sum());
  return message;
}

// Writes the fields of a v1::ListenerStats that are histograms.
void WriteHistograms(const ConnectionHistograms& histograms,
                     BackwardWriter& writer) {
  using Message = v1::ListenerStats;
  const auto write = [&writer](int field, const auto& sizes) {
    writer.Encoded(field, ToProto(sizes).SerializeAsString());
  };
  write(Message::kConnectionSentBytesFieldNumber, histograms.sent);
  write(Message::kConnectionBytesFieldNumber, histograms.received);
  write(Message::kConnectLatencyFieldNumber, histograms.connect);
  write(Message::kConnectionDurationFieldNumber, histograms.duration);
}

// Writes a v1::ListenerStats.
void WriteStats(const ListenerResource& listener, const ListenerRecord& record,
                BackwardWriter& writer) {
  using Message = v1::ListenerStats;
  if (const ConnectionHistograms* const own = listener.histograms()) {
    WriteHistograms(*own, writer);
  }
  const UpstreamCounts& upstream = listener.upstream_counts();
  writer.Int(Message::kUpstreamConnectErrorsTotalFieldNumber, upstream.errors);
  writer.Int(Message::kUpstreamConnectsTotalFieldNumber, upstream.connects);
  writer.Int(Message::kMaxConnectionsFieldNumber,
             *listener.spec().options().max_connections);
  if (record.closes != nullptr) {
    writer.Int(Message::kClosedTotalFieldNumber, record.closes->total());
  }
  const size_t end = writer.size();
  WriteStatus(record, writer);
  writer.Message(Message::kStatusFieldNumber, end);
  writer.String(Message::kNameFieldNumber, record.name);
}

Duration OfSeconds(double seconds) {
  return std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(seconds));
}

}  // namespace

void StatsBoard::Leave(Watcher& watcher) {
  watchers_.erase(&watcher);
  if (!watchers_.empty()) return;
  timer_.reset();
  if (!looking_) view_.Clear();
}

void StatsBoard::WakeAt(Watcher& watcher, TimePoint when) {
  watchers_.at(&watcher) = when;
  if (!looking_) Arm();
}

void StatsBoard::Arm() {
  Due due;
  for (const auto& [watcher, when] : watchers_) {
    if (when && (!due || *when < *due)) due = when;
  }
  if (!due) return;
  if (last_look_) due = std::max(*due, After(*last_look_, pause_));
  if (!timer_) timer_.emplace(TimeSource::Of(loop_));
  timer_->StartAt(*due, [this] { BeginLook(); });
}

void StatsBoard::BeginLook() {
  looking_ = true;
  last_look_ = TimeSource::Of(loop_).Now();
  pause_ = kPause;
  try {
    // The loop does not end before the answer.
    auto work = std::make_shared<
        asio::executor_work_guard<asio::io_context::executor_type>>(
        loop_.get_executor());
    ask_process_([this, work](const ProcessValues& values) {
      const auto posted = std::chrono::steady_clock::now();
      asio::post(loop_, asio::bind_allocator(answer_memory_.allocator(),
                                             [this, values, posted] {
                                               OnProcess(values, posted);
                                             }));
      work->reset();
    });
  } catch (const std::bad_alloc&) {
    AbandonLook();
  }
}

void StatsBoard::OnProcess(const ProcessValues& values,
                           std::chrono::steady_clock::time_point posted) {
  const Duration lag = std::chrono::steady_clock::now() - posted;
  try {
    v1::WatchStatsResponse header;
    *header.mutable_time() = TimestampNow();
    header.set_instance_id(events_.instance_id());
    v1::DaemonStats& daemon = *header.mutable_daemon();
    daemon.set_num_connections(
        static_cast<int32_t>(registry_.connections().entries().size()));
    daemon.set_open_fds(values.open_fds);
    daemon.set_max_fds(values.max_fds);
    *daemon.mutable_cpu_time() = DurationOf(OfSeconds(values.cpu_seconds));
    daemon.set_resident_bytes(values.resident_bytes);
    *daemon.mutable_loop_lag() = DurationOf(lag);
    daemon.set_events_last_revision(events_.last_revision());
    if (const ConnectionHistograms* const of_all = registry_.histograms()) {
      *daemon.mutable_connection_duration() = ToProto(of_all->duration);
      *daemon.mutable_connect_latency() = ToProto(of_all->connect);
      *daemon.mutable_connection_bytes() = ToProto(of_all->received);
      *daemon.mutable_connection_sent_bytes() = ToProto(of_all->sent);
    }
    header_ = header.SerializeAsString();
  } catch (const std::bad_alloc&) {
    return AbandonLook();
  }
  Step("");
}

void StatsBoard::Step(const std::string& last_id) {
  try {
    size_t listeners = 0;
    size_t connections = 0;
    const Registry::Listeners& all = registry_.listeners();
    auto it = all.upper_bound(last_id);
    for (; it != all.end(); ++it) {
      if (listeners == kListenersPerStep ||
          connections >= kConnectionsPerStep) {
        const std::string& last = std::prev(it)->first;
        asio::post(loop_, [this, last] { Step(last); });
        return;
      }
      const ListenerResource& listener = *it->second;
      BackwardWriter writer;
      const ListenerRecord record = listener.RecordOfNow();
      WriteStats(listener, record, writer);
      view_.Put(record.name, writer.bytes());
      ++listeners;
      connections += static_cast<size_t>(record.num_connections);
    }
  } catch (const std::bad_alloc&) {
    return AbandonLook();
  }
  EndLook();
}

void StatsBoard::EndLook() {
  try {
    view_.End();
    std::set<int64_t> told;
    for (const auto& [watcher, when] : watchers_) {
      told.insert(watcher->told());
      if (when && *when <= *last_look_) to_tell_.push_back(watcher);
    }
    view_.Prune(told);
    PostTelling();
  } catch (const std::bad_alloc&) {
    to_tell_.clear();
    AbandonLook();
  }
}

void StatsBoard::PostTelling() {
  asio::post(loop_, [this] { TellNext(); });
}

void StatsBoard::TellNext() {
  while (!to_tell_.empty()) {
    Watcher* const watcher = to_tell_.front();
    to_tell_.pop_front();
    const auto found = watchers_.find(watcher);
    // It may have left, and another one may have come in its place.
    if (found == watchers_.end() || !found->second ||
        *found->second > *last_look_) {
      continue;
    }
    found->second.reset();
    watcher->OnLook();
    if (to_tell_.empty()) break;
    try {
      return PostTelling();
    } catch (const std::bad_alloc&) {
      // The others are told now.
    }
  }
  looking_ = false;
  if (watchers_.empty()) return view_.Clear();
  Arm();
}

void StatsBoard::AbandonLook() {
  looking_ = false;
  pause_ = kAfterNoMemory;
  if (watchers_.empty()) return view_.Clear();
  Arm();
}

std::deque<std::string> StatsBoard::MessagesSince(
    int64_t since, const std::set<std::string>& names, size_t most) const {
  std::deque<std::string> messages(1);
  view_.AppendChanges(since, names, most - header_.size(), messages);
  BackwardWriter has_more;
  has_more.Int(v1::WatchStatsResponse::kHasMoreFieldNumber, 1);
  for (std::string& message : messages) {
    message += header_;
    if (&message == &messages.back()) break;
    message.append(has_more.bytes().data(), has_more.bytes().size());
  }
  return messages;
}

}  // namespace portreeve::server
