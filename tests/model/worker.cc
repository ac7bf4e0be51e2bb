#include "tests/model/worker.h"

#include <utility>

namespace portreeve::model {

Worker::Worker(Control& control, const std::string& listener, OnOffer on_offer)
    : control_(control), on_offer_(std::move(on_offer)) {
  request_.mutable_start()->set_listener(listener);
}

void Worker::Start() {
  self_ = shared_from_this();
  control_.NoteCallBegins();
  control_.handlers().async()->Handle(&context_, this);
  StartWrite(&request_);
  StartRead(&response_);
  StartCall();
}

void Worker::OnReadDone(bool ok) {
  if (!ok) return;
  control_.wake().Post([self = shared_from_this(), response = response_] {
    if (response.has_offer()) self->on_offer_(response.offer().connection());
  });
  StartRead(&response_);
}

void Worker::OnDone(const grpc::Status&) {
  control_.wake().Post([self = shared_from_this()] {
    self->finished_ = true;
    self->on_offer_ = nullptr;
    self->control_.NoteCallEnds();
    self->self_.reset();
  });
}

}  // namespace portreeve::model
