// Events as server-sent events.
#ifndef PORTREEVE_SERVER_LIVE_EVENT_TEXT_H_
#define PORTREEVE_SERVER_LIVE_EVENT_TEXT_H_

#include <grpcpp/support/slice.h>

#include <cstddef>
#include <deque>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace portreeve::server {

// Whether an event is one of what there was, or has happened.
enum class EventsAre { kSnapshot, kNews };

// Gives the text of a v1::WatchEventsResponse, encoded.  All events of a
// snapshot have one revision, so only snapshot_done has an id: whoever is cut
// before it begins anew.
std::string EventText(absl::string_view response, EventsAre what);

// Gives the text that says that what the client has is worth nothing.
std::string RestartText(absl::string_view reason);

// Gives where a part of `response` ends that begins with it: so many whole
// events as have no more than `most` bytes, but one at least.
size_t EndOfPart(absl::string_view response, size_t most);

// Keeps the last texts of news, so that they are made once for all streams that
// share the bytes.
// Threads: one.
class EventTexts {
 public:
  using Text = std::shared_ptr<const std::string>;

  Text NewsOf(const grpc::Slice& response);

  // How many have been made.
  size_t num_made() const { return num_made_; }
  void Clear() { kept_.clear(); }

 private:
  static constexpr size_t kMaxKept = 8;
  static constexpr size_t kMaxKeptBytes = size_t{1} << 20;

  struct Kept {
    // As long as it is here, no other has its place in memory.
    grpc::Slice response;
    Text text;
  };

  std::deque<Kept> kept_;  // The newest last.
  size_t num_made_ = 0;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_LIVE_EVENT_TEXT_H_
