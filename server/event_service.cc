#include "server/event_service.h"

#include <grpcpp/support/slice.h>

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "lib/status.h"
#include "server/errors.h"
#include "server/grpc_status.h"
#include "server/names.h"

namespace portreeve::server {
namespace {

// A call that is refused before it has a stream.
class Refused : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  explicit Refused(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

bool Parse(const grpc::ByteBuffer& raw, v1::WatchEventsRequest& request) {
  grpc::Slice slice;
  return raw.DumpToSingleSlice(&slice).ok() &&
         request.ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
}

absl::StatusOr<WatchFilter> FilterOf(const v1::WatchEventsRequest& request) {
  WatchFilter filter;
  for (int i = 0; i < request.listeners_size(); ++i) {
    const std::string& name = request.listeners(i);
    // One that does not exist may be created yet.
    const auto id = ParseListenerName(name, absl::StrCat("listeners[", i, "]"));
    if (!id.ok()) return id.status();
    filter.listeners.insert(name);
  }
  for (int i = 0; i < request.kinds_size(); ++i) {
    const int kind = request.kinds(i);
    if (kind == v1::EVENT_KIND_UNSPECIFIED || !v1::EventKind_IsValid(kind)) {
      return InvalidField(absl::StrCat("kinds[", i, "]"),
                          absl::StrCat("there is no kind ", kind));
    }
    filter.kinds.set(static_cast<size_t>(kind));
  }
  if (filter.kinds.any()) {
    filter.kinds.set(v1::EVENT_KIND_SNAPSHOT_DONE);
    filter.kinds.set(v1::EVENT_KIND_GAP);
  }
  return filter;
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
  if (request.start_revision() > 0) return NotImplemented("start_revision");
  if (request.initial_snapshot()) return NotImplemented("initial_snapshot");
  return absl::OkStatus();
}

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* EventService::WatchEvents(
    grpc::CallbackServerContext*, const grpc::ByteBuffer* raw) {
  v1::WatchEventsRequest request;
  if (!Parse(*raw, request)) {
    return new Refused(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                                    "not a WatchEventsRequest"));
  }
  auto filter = FilterOf(request);
  if (!filter.ok()) return new Refused(ToGrpc(filter.status()));
  const auto checked = CheckStart(request, log_.instance_id());
  if (!checked.ok()) return new Refused(ToGrpc(checked));
  auto on_done = [this](WatchStream* stream) { OnDone(stream); };
  auto stream = std::make_shared<WatchStream>(loop_, log_, *std::move(filter),
                                              std::move(on_done));
  loop_.Post([this, stream] { Start(stream); });
  return stream.get();
}

void EventService::Start(const std::shared_ptr<WatchStream>& stream) {
  streams_.emplace(stream.get(), stream);
  if (ended_) {
    stream->Close(ToGrpc(ShuttingDown()));
  } else {
    stream->Start();
  }
}

Deferred<> EventService::EndWatches() {
  ended_ = true;
  for (const auto& [key, stream] : streams_) stream->End();
  CheckAllDone();
  return all_done_.deferred();
}

void EventService::OnDone(WatchStream* stream) {
  streams_.erase(stream);
  CheckAllDone();
}

void EventService::CheckAllDone() {
  if (ended_ && streams_.empty()) all_done_.FillIfEmpty();
}

}  // namespace portreeve::server
