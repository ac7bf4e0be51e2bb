// Worker: a Handle call.
#ifndef PORTREEVE_TESTS_MODEL_WORKER_H_
#define PORTREEVE_TESTS_MODEL_WORKER_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>

#include "tests/model/control.h"

namespace portreeve::model {

// Threads: the one of the control's Wake, but for what gRPC calls.
class Worker final
    : public grpc::ClientBidiReactor<v1::HandleRequest, v1::HandleResponse>,
      public std::enable_shared_from_this<Worker> {
 public:
  using OnOffer = std::function<void(const v1::Connection&)>;

  Worker(Control& control, const std::string& listener, OnOffer on_offer);

  // It lives until it is over, by Cancel() or with its listener.
  void Start();
  void Cancel() { context_.TryCancel(); }

  bool finished() const { return finished_; }

 private:
  // gRPC's threads.
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  Control& control_;
  OnOffer on_offer_;
  std::shared_ptr<Worker> self_;  // While gRPC has it.
  bool finished_ = false;
  grpc::ClientContext context_;
  v1::HandleRequest request_;
  v1::HandleResponse response_;
};

}  // namespace portreeve::model

#endif  // PORTREEVE_TESTS_MODEL_WORKER_H_
