// What a registry answers to a change in the call itself, as it does where
// nothing has to be written to disk.
#ifndef PORTREEVE_TESTS_SERVER_ANSWERED_H_
#define PORTREEVE_TESTS_SERVER_ANSWERED_H_

#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/statusor.h"
#include "portreeve/v1/listener.pb.h"
#include "server/api/listener_draft.h"
#include "server/registry/registry.h"

namespace portreeve::server {

// An answer that may be there.
template <typename T>
class Answered {
 public:
  // Gives a Then<T>, or a Then<EncodedListener> where T is v1::Listener.
  auto then() const {
    return [place = place_](auto result) {
      if constexpr (std::is_same_v<decltype(result), absl::StatusOr<T>>) {
        *place = std::move(result);
      } else if (result.ok()) {
        *place = result->message();
      } else {
        *place = result.status();
      }
    };
  }
  bool is_there() const {
    return place_->status().code() != absl::StatusCode::kUnknown;
  }
  const absl::StatusOr<T>& get() const { return *place_; }

 private:
  std::shared_ptr<absl::StatusOr<T>> place_ =
      std::make_shared<absl::StatusOr<T>>(
          absl::UnknownError("not answered yet"));
};

inline absl::StatusOr<v1::Listener> CreateNow(Registry& registry,
                                              ListenerDraft draft) {
  const Answered<v1::Listener> answered;
  registry.Create(std::move(draft), answered.then());
  return answered.get();
}

inline absl::StatusOr<v1::Listener> UpdateNow(
    Registry& registry, const std::string& id,
    const v1::UpdateListenerRequest& request) {
  const Answered<v1::Listener> answered;
  registry.Update(id, request, answered.then());
  return answered.get();
}

inline absl::Status DeleteNow(Registry& registry, const std::string& id) {
  const Answered<google::protobuf::Empty> answered;
  registry.Delete(id, answered.then());
  return answered.get().status();
}

}  // namespace portreeve::server

#endif  // PORTREEVE_TESTS_SERVER_ANSWERED_H_
