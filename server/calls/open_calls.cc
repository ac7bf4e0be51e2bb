#include "server/calls/open_calls.h"

#include <utility>

namespace portreeve::server {

bool OpenCalls::Add(std::shared_ptr<OpenCall> call) {
  OpenCall& added = *call;
  added.self_ = std::move(call);
  calls_.push_back(added);
  if (ended_) added.CloseForShutdown();
  return !ended_;
}

void OpenCalls::Remove(OpenCall* call) {
  if (call->hook_.is_linked()) {
    calls_.erase(calls_.iterator_to(*call));
    std::exchange(call->self_, nullptr).reset();
  }
  CheckAllEnded();
}

Deferred<> OpenCalls::End() {
  ended_ = true;
  for (OpenCall& call : calls_) call.CloseForShutdown();
  CheckAllEnded();
  return all_ended_.deferred();
}

void OpenCalls::CheckAllEnded() {
  if (ended_ && calls_.empty()) all_ended_.FillIfEmpty();
}

}  // namespace portreeve::server
