#include "client/canceller.h"

#include <grpcpp/client_context.h>

namespace portreeve::client {

void Canceller::Cancel() {
  absl::MutexLock lock(&mutex_);
  cancelled_ = true;
  for (grpc::ClientContext* const context : contexts_) context->TryCancel();
}

bool Canceller::is_cancelled() const {
  absl::MutexLock lock(&mutex_);
  return cancelled_;
}

void Canceller::Add(grpc::ClientContext& context) {
  absl::MutexLock lock(&mutex_);
  contexts_.insert(&context);
  // A call that has not started yet ends as soon as it does.
  if (cancelled_) context.TryCancel();
}

void Canceller::Remove(grpc::ClientContext& context) {
  absl::MutexLock lock(&mutex_);
  contexts_.erase(&context);
}

}  // namespace portreeve::client
