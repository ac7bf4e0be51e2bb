#include "server/watch/event_service.h"

#include <grpcpp/support/slice.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status.h"
#include "server/api/errors.h"
#include "server/api/progress_interval.h"
#include "server/calls/grpc_status.h"
#include "server/calls/refused_call.h"
#include "server/calls/unary.h"
#include "server/control/control_calls.h"
#include "server/control/control_connection.h"
#include "server/watch/snapshot.h"
#include "server/watch/watch_filter.h"

namespace portreeve::server {
namespace {

bool Parse(const grpc::ByteBuffer& raw, v1::WatchEventsRequest& request) {
  grpc::Slice slice;
  return raw.DumpToSingleSlice(&slice).ok() &&
         request.ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
}

absl::Status CheckStart(const v1::WatchEventsRequest& request,
                        const std::string& instance_id) {
  if (request.start_revision() < 0) {
    return InvalidField("start_revision", "must not be negative");
  }
  if (request.start_revision() > 0 && request.initial_snapshot()) {
    return InvalidField("initial_snapshot", "not together with start_revision");
  }
  if (!request.instance_id().empty() && request.instance_id() != instance_id) {
    return ServerError(absl::StatusCode::kFailedPrecondition,
                       "INSTANCE_CHANGED",
                       absl::StrCat("the daemon was started anew: it is ",
                                    instance_id, " now"));
  }
  return absl::OkStatus();
}

}  // namespace

EventService::Stream* EventService::WatchEvents(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* raw) {
  if (const auto& connection = ConnectionOf(*context)) {
    connection->AddMessage(raw->Length());
  }
  const auto caller = gate_.Admit(*context, "WatchEvents");
  const auto refuse = [context](const absl::Status& status) {
    return new RefusedCall<Stream>(*context, status);
  };
  if (!caller.ok()) return refuse(caller.status());
  v1::WatchEventsRequest request;
  if (!Parse(*raw, request)) {
    return refuse(
        InvalidMessage("not a WatchEventsRequest, whose strings are UTF-8"));
  }
  if (request.initial_snapshot() && unread_.IsFull(*context)) {
    return refuse(TooMuchUnread());
  }
  auto filter = FilterOf(request);
  if (!filter.ok()) return refuse(filter.status());
  const auto checked = CheckStart(request, log_.instance_id());
  if (!checked.ok()) return refuse(checked);
  std::optional<Duration> progress_interval;
  if (request.has_progress_interval()) {
    const auto interval =
        ProgressInterval(request.progress_interval(), "progress_interval");
    if (!interval.ok()) return refuse(interval.status());
    progress_interval = *interval;
  }
  auto on_done = [this](WatchCall* stream) { calls_.Remove(stream); };
  const WatchCall::Shared shared{loop_,      log_,    schedule_,
                                 snapshots_, unread_, lost_total_};
  auto stream =
      std::make_shared<WatchCall>(shared, *context, std::move(on_done));
  loop_.Post([this, stream, filter = *std::move(filter),
              request = std::move(request), progress_interval] {
    try {
      Start(stream, filter, request, progress_interval);
    } catch (...) {
      stream->Close(ToGrpcOrLess(AnswerToException()));
    }
  });
  return stream.get();
}

void EventService::Start(const std::shared_ptr<WatchCall>& stream,
                         const WatchFilter& filter,
                         const v1::WatchEventsRequest& request,
                         std::optional<Duration> progress_interval) {
  if (!calls_.Add(stream)) return;
  const auto first = FirstRevision(request);
  if (!first.ok()) return stream->Close(ToGrpc(first.status()));
  WatchCall::Wish wish;
  wish.events = filters_.Of(filter);
  wish.first = *first;
  if (request.initial_snapshot()) {
    wish.snapshot =
        std::make_unique<Snapshot>(registry_, log_, wish.events->filter(),
                                   SnapshotOf::kListenersAndConnections);
  }
  wish.progress_interval = progress_interval;
  stream->Start(std::move(wish));
}

absl::StatusOr<int64_t> EventService::FirstRevision(
    const v1::WatchEventsRequest& request) const {
  const int64_t next = log_.last_revision() + 1;
  if (request.start_revision() == 0) return next;
  if (request.start_revision() <= next) return request.start_revision();
  return ServerError(absl::StatusCode::kOutOfRange, "REVISION_UNKNOWN",
                     absl::StrCat("start_revision ", request.start_revision(),
                                  " is beyond the next one, ", next));
}

}  // namespace portreeve::server
