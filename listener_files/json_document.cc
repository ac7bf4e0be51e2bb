#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "listener_files/document.h"

namespace portreeve {
namespace {

using nlohmann::json;

// Far more than a listener has, and far less than a stack.
constexpr int kMaxDepth = 100;

// Notices keys that are twice in one object, of which the library takes the
// last, and what is nested too deep for whoever walks it by recursion.
class KeyCheck {
 public:
  // Gives whether the value is to be kept.
  bool See(int depth, json::parse_event_t event, const json& parsed) {
    if (depth > kMaxDepth) {
      wrong_ = absl::StrCat("more than ", kMaxDepth, " levels");
    }
    switch (event) {
      case json::parse_event_t::object_start:
        objects_.emplace_back();
        break;
      case json::parse_event_t::object_end:
        objects_.pop_back();
        break;
      case json::parse_event_t::key: {
        const std::string key = parsed.get<std::string>();
        if (!objects_.back().insert(key).second && wrong_.empty()) {
          wrong_ = absl::StrCat("the key '", key, "' is there twice");
        }
        break;
      }
      default:
        break;
    }
    return depth <= kMaxDepth;
  }

  // Gives "" where there was nothing.
  const std::string& wrong() const { return wrong_; }

 private:
  std::vector<std::set<std::string>> objects_;
  std::string wrong_;
};

// Gives `text` without the library's name for it,
// "[json.exception.parse_error.101] ".
std::string WithoutNumber(const std::string& text) {
  const size_t end = text.find("] ");
  return end == std::string::npos ? text : text.substr(end + 2);
}

}  // namespace

absl::StatusOr<Document> ReadJson(const std::string& text) {
  KeyCheck check;
  const auto see = [&check](int depth, json::parse_event_t event,
                            json& parsed) {
    return check.See(depth, event, parsed);
  };
  Document document;
  try {
    document.value = json::parse(text, see);
  } catch (const json::exception& error) {
    return absl::InvalidArgumentError(WithoutNumber(error.what()));
  }
  if (!check.wrong().empty()) {
    return absl::InvalidArgumentError(check.wrong());
  }
  return document;
}

}  // namespace portreeve
