#include "server/stats/stats_service.h"

#include <grpcpp/alarm.h>
#include <grpcpp/support/slice.h>

#include <chrono>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status.h"
#include "server/api/convert.h"
#include "server/api/errors.h"
#include "server/api/names.h"
#include "server/calls/grpc_status.h"
#include "server/calls/refused_call.h"
#include "server/calls/unary.h"
#include "server/control/control_calls.h"
#include "server/control/control_connection.h"
#include "server/metrics/process_values.h"
#include "server/stats/stats_call.h"

namespace portreeve::server {
namespace {

// More often is a load, and more seldom of no use to anybody.
constexpr std::chrono::milliseconds kMinInterval{100};
constexpr std::chrono::hours kMaxInterval{1};
constexpr std::chrono::seconds kDefaultInterval{1};

constexpr int kMaxNames = 1000;

bool Parse(const grpc::ByteBuffer& raw, v1::WatchStatsRequest& request) {
  grpc::Slice slice;
  return raw.DumpToSingleSlice(&slice).ok() &&
         request.ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
}

absl::StatusOr<Duration> IntervalOf(const v1::WatchStatsRequest& request) {
  if (!request.has_interval()) return kDefaultInterval;
  const auto interval =
      FromProto(request.interval(), "interval", DurationRange::kPositive);
  if (!interval.ok()) return interval;
  if (*interval < kMinInterval || *interval > kMaxInterval) {
    return InvalidField("interval", "must be 100 ms to 1 h");
  }
  return interval;
}

absl::StatusOr<StatsCall::Wish> WishOf(const v1::WatchStatsRequest& request) {
  const auto interval = IntervalOf(request);
  if (!interval.ok()) return interval.status();
  StatsCall::Wish wish;
  wish.interval = *interval;
  if (request.listeners_size() > kMaxNames) {
    return InvalidField("listeners",
                        absl::StrCat("at most ", kMaxNames,
                                     " names; without any it is about all"));
  }
  for (int i = 0; i < request.listeners_size(); ++i) {
    const std::string& name = request.listeners(i);
    // One that does not exist may be created yet.
    const auto id = ParseListenerName(name, absl::StrCat("listeners[", i, "]"));
    if (!id.ok()) return id.status();
    wish.names.insert(name);
  }
  return wish;
}

// What cannot be read is 0, also where there is no memory to read it.
ProcessValues ValuesOrNone() {
  try {
    return ReadProcessValues();
  } catch (const std::bad_alloc&) {
    return {};
  }
}

// Asks on a thread of gRPC's.
void AskProcess(std::function<void(const ProcessValues&)> then) {
  auto alarm = std::make_shared<grpc::Alarm>();
  alarm->Set(std::chrono::system_clock::now(),
             [alarm, then = std::move(then)](bool) mutable {
               then(ValuesOrNone());
               // The alarm has the function, which has the alarm.
               alarm.reset();
             });
}

}  // namespace

StatsService::StatsService(Loop& loop, const EventLog& events,
                           const Registry& registry, Gate& gate,
                           size_t max_message_bytes)
    : loop_(loop),
      gate_(gate),
      unread_(UnreadAnswers::Of(loop.context())),
      max_message_bytes_(max_message_bytes),
      board_(loop.context(), registry, events, AskProcess),
      calls_(loop.executor()) {}

StatsService::Stream* StatsService::WatchStats(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* raw) {
  if (const auto& connection = ConnectionOf(*context)) {
    connection->AddMessage(raw->Length());
  }
  const auto caller = gate_.Admit(*context, "WatchStats");
  const auto refuse = [context](const absl::Status& status) {
    return new RefusedCall<Stream>(*context, status);
  };
  if (!caller.ok()) return refuse(caller.status());
  v1::WatchStatsRequest request;
  if (!Parse(*raw, request)) {
    return refuse(
        InvalidMessage("not a WatchStatsRequest, whose strings are UTF-8"));
  }
  if (unread_.IsFull(*context)) return refuse(TooMuchUnread());
  auto wish = WishOf(request);
  if (!wish.ok()) return refuse(wish.status());
  wish->max_message_bytes = max_message_bytes_;
  auto call = std::make_shared<StatsCall>(
      loop_, board_, unread_, *context, *std::move(wish),
      [this](StatsCall* ended) { calls_.Remove(ended); });
  loop_.Post([this, call] {
    if (!calls_.Add(call)) return;
    try {
      call->Start();
    } catch (...) {
      call->Close(ToGrpcOrLess(AnswerToException()));
    }
  });
  return call.get();
}

}  // namespace portreeve::server
