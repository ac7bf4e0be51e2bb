#include "server/about/health_watch.h"

#include <utility>

#include "server/control/control_calls.h"

namespace portreeve::server {

HealthWatch::HealthWatch(Loop& loop, const grpc::CallbackServerContext& context,
                         std::string service,
                         std::function<void(HealthWatch*)> on_done)
    : loop_(loop),
      context_(context),
      service_(std::move(service)),
      on_done_(std::move(on_done)) {}

void HealthWatch::Tell(Status status) {
  to_tell_ = status;
  Pump();
}

void HealthWatch::CloseForShutdown() {
  ending_ = true;
  Pump();
}

void HealthWatch::Pump() {
  if (writing_ || finished_) return;
  if (to_tell_ && to_tell_ != told_) {
    told_ = to_tell_;
    response_.set_status(*told_);
    writing_ = true;
    return StartWrite(&response_);
  }
  if (!ending_) return;
  finished_ = true;
  NoteAnswer(context_, grpc::StatusCode::OK);
  Finish(grpc::Status::OK);
}

void HealthWatch::OnWriteDone(bool ok) {
  loop_.Post([this, ok] {
    writing_ = false;
    if (!ok) {
      ending_ = true;
      to_tell_.reset();
    }
    Pump();
  });
}

void HealthWatch::OnCancel() {
  loop_.Post([this] {
    ending_ = true;
    to_tell_.reset();
    Pump();
  });
}

// gRPC's last call.
void HealthWatch::OnDone() {
  loop_.PostAfterAll([this] { on_done_(this); });
}

}  // namespace portreeve::server
