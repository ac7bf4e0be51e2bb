// ListenerResource: what becomes of its connections, told and counted.
#include <cstdint>
#include <memory>
#include <utility>

#include "lib/base/guarded.h"
#include "server/api/convert.h"
#include "server/api/timestamp.h"
#include "server/registry/connection_log.h"
#include "server/registry/listener_resource.h"

namespace portreeve::server {

void ListenerResource::OnAccepted(
    const std::shared_ptr<AnyConnection>& connection) {
  ConnectionFacts facts;
  facts.listener = name_;
  if (spec_->remote() != nullptr) {
    facts.claim = std::make_shared<Claim>(executor_);
  }
  if (access_log_ != nullptr) facts.leaves_line = access_log_->leaves_line();
  const auto live = shared_.connections.Add(connection, std::move(facts));
  if (deleted_) return;
  shared_.events.AppendConnection(v1::EVENT_KIND_CONNECTION_ACCEPTED,
                                  RecordOf(*live), name_);
  if (access_log_ != nullptr) access_log_->OnAccepted(*live);
}

void ListenerResource::OnDropped(const AnyConnection& connection) {
  closes_.Count(v1::CLOSE_REASON_DROPPED);
  ConnectionFacts facts;
  facts.listener = name_;
  facts.close_time = UnixNanosNow();
  facts.create_time = static_cast<uint64_t>(facts.close_time);
  const ConnectionRecord record = RecordOf(connection, facts);
  if (shared_.histograms != nullptr) CountInHistograms(record);
  Guarded([&] { LogEnd(connection, facts); });
  if (access_log_ != nullptr) {
    Guarded([&] { access_log_->OnDropped(connection, facts); });
  }
  if (deleted_) return;
  shared_.events.AppendConnection(v1::EVENT_KIND_CONNECTION_DROPPED, record,
                                  name_);
}

void ListenerResource::OnClosed(
    const std::shared_ptr<AnyConnection>& connection) {
  const auto live = shared_.connections.Remove(connection->id());
  if (handed_over_) {
    // All else is told by the process that has the listener.
    if (live != nullptr && shared_.successor != nullptr) {
      Guarded([&] { shared_.successor->OnClosed(*live); });
    }
    return;
  }
  if (live == nullptr) {  // There was no memory to list it.
    return CountClose(ToProto(connection->reason()), nullptr);
  }
  const ConnectionRecord record = RecordOf(*live);
  CountClose(record.close_reason, record.failure);
  if (shared_.histograms != nullptr) CountInHistograms(record);
  Guarded([&] { LogEnd(*connection, live->facts); });
  // Its line needs no memory for the event.
  if (access_log_ != nullptr) {
    Guarded([&] { access_log_->OnClosed(*live); });
  }
  if (deleted_) return;
  shared_.events.AppendConnection(v1::EVENT_KIND_CONNECTION_CLOSED, record,
                                  name_);
  if (record.close_reason == v1::CLOSE_REASON_UPSTREAM_RESET &&
      record.bytes_sent == 0 && record.upstream != nullptr) {
    log_.OnResetAtOnce(record.id, *record.upstream);
  }
}

void ListenerResource::CountClose(v1::CloseReason reason,
                                  const ConnectionFailure* failure) {
  if (reason == v1::CLOSE_REASON_UPSTREAM_UNREACHABLE) {
    closes_.CountFailure(failure != nullptr ? failure->reason : Reason::kOther);
  } else {
    closes_.Count(reason);
  }
}

void ListenerResource::CountInHistograms(const ConnectionRecord& record) {
  // It is below 0 where the system's clock was set back meanwhile.
  const int64_t duration = record.close_time - record.create_time;
  shared_.histograms->CountEnd(duration, record.bytes_received,
                               record.bytes_sent);
  if (histograms_ == nullptr) return;
  histograms_->CountEnd(duration, record.bytes_received, record.bytes_sent);
}

}  // namespace portreeve::server
