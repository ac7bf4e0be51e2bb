#include "server/live/event_text.h"

#include <google/protobuf/io/coded_stream.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "portreeve/v1/event.pb.h"
#include "server/live/event_start.h"
#include "server/live/live_answers.h"

namespace portreeve::server {
namespace {

absl::string_view BytesOf(const grpc::Slice& slice) {
  return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
}

}  // namespace

std::string EventText(absl::string_view response, EventsAre what) {
  v1::WatchEventsResponse events;
  std::string text;
  (void)events.ParseFromArray(response.data(),
                              static_cast<int>(response.size()));
  for (const v1::Event& event : events.events()) {
    if (what == EventsAre::kNews || event.has_snapshot_done()) {
      absl::StrAppend(
          &text, "id: ", EventId(event.instance_id(), event.revision()), "\n");
    }
    absl::StrAppend(&text, "data: ", JsonOf(event), "\n\n");
  }
  return text;
}

std::string RestartText(absl::string_view reason) {
  return absl::StrCat("event: restart\ndata: {\"reason\":\"", reason,
                      "\"}\n\n");
}

size_t EndOfPart(absl::string_view response, size_t most) {
  google::protobuf::io::CodedInputStream input(
      reinterpret_cast<const uint8_t*>(response.data()),
      static_cast<int>(response.size()));
  size_t end = 0;
  uint32_t length = 0;
  while (input.ReadTag() != 0 && input.ReadVarint32(&length) &&
         input.Skip(static_cast<int>(length))) {
    const auto next = static_cast<size_t>(input.CurrentPosition());
    if (end > 0 && next > most) return end;
    end = next;
  }
  return response.size();
}

EventTexts::Text EventTexts::NewsOf(const grpc::Slice& response) {
  const auto found =
      std::find_if(kept_.begin(), kept_.end(), [&](const Kept& kept) {
        return kept.response.begin() == response.begin() &&
               kept.response.size() == response.size();
      });
  if (found != kept_.end()) return found->text;
  auto text = std::make_shared<const std::string>(
      EventText(BytesOf(response), EventsAre::kNews));
  ++num_made_;
  kept_.push_back({response, text});
  size_t bytes = 0;
  for (const Kept& kept : kept_) bytes += kept.text->size();
  while (kept_.size() > 1 &&
         (kept_.size() > kMaxKept || bytes > kMaxKeptBytes)) {
    bytes -= kept_.front().text->size();
    kept_.pop_front();
  }
  return text;
}

}  // namespace portreeve::server
