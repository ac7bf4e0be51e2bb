// SseReader: reads server-sent events as browsers do.
#ifndef PORTREEVE_TESTS_SERVER_LIVE_SSE_READER_H_
#define PORTREEVE_TESTS_SERVER_LIVE_SSE_READER_H_

#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace portreeve::testing {

class SseReader {
 public:
  struct Frame {
    std::string kind = "message";
    std::string id;  // Empty where it has none.
    std::string data;

    // Gives the message whose JSON the data is.
    template <typename Message>
    Message As() const {
      Message message;
      const auto parsed =
          google::protobuf::util::JsonStringToMessage(data, &message);
      EXPECT_TRUE(parsed.ok()) << data;
      return message;
    }
  };

  void Add(std::string_view bytes) {
    rest_.append(bytes);
    for (size_t end; (end = rest_.find("\n\n")) != rest_.npos;) {
      Take(rest_.substr(0, end));
      rest_.erase(0, end + 2);
    }
  }

  // Gives the next one, and takes it; none where no whole one has come.
  std::optional<Frame> Next() {
    if (frames_.empty()) return std::nullopt;
    Frame frame = std::move(frames_.front());
    frames_.pop_front();
    return frame;
  }

 private:
  void Take(const std::string& text) {
    Frame frame;
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      const std::pair<std::string, std::string> field =
          absl::StrSplit(line, absl::MaxSplits(": ", 1));
      if (field.first == "event") frame.kind = field.second;
      if (field.first == "id") frame.id = field.second;
      if (field.first == "data") frame.data = field.second;
    }
    if (!frame.data.empty()) frames_.push_back(std::move(frame));
  }

  std::string rest_;
  std::deque<Frame> frames_;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_SERVER_LIVE_SSE_READER_H_
