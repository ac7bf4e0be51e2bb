#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "listener_files/document.h"

namespace portreeve {
namespace {

using nlohmann::json;

// yaml-cpp's tag of a scalar without quotes; one with quotes has "!".
constexpr char kPlain[] = "?";

// Makes a Document of the parser's events, so that no alias is ever followed.
class Builder : public YAML::EventHandler {
 public:
  Document Take() { return std::move(document_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Refuse(mark, "", anchor);
    Put(mark, nullptr);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw YAML::ParserException(mark, "aliases are not taken");
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag,
                YAML::anchor_t anchor, const std::string& value) override {
    Refuse(mark, tag, anchor);
    const bool is_key = !open_.empty() && open_.back().value.is_object() &&
                        !open_.back().has_key;
    if (is_key) {
      Open& map = open_.back();
      if (map.value.contains(value)) {
        throw YAML::ParserException(
            mark, absl::StrCat("the key '", KeyPath(map.path, value),
                               "' is there twice"));
      }
      map.key = value;
      map.has_key = true;
      return;
    }
    if (tag == kPlain && (value == "true" || value == "false")) {
      Put(mark, value == "true");
    } else {
      Put(mark, value);
    }
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag,
                       YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Start(mark, tag, anchor, json::array());
  }
  void OnSequenceEnd() override { End(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag,
                  YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    Start(mark, tag, anchor, json::object());
  }
  void OnMapEnd() override { End(); }

 private:
  // A map or a sequence whose end has not come.
  struct Open {
    json value;
    std::string path;
    std::string key;
    bool has_key = false;
  };

  static void Refuse(const YAML::Mark& mark, const std::string& tag,
                     YAML::anchor_t anchor) {
    if (anchor != 0) {
      throw YAML::ParserException(mark, "anchors are not taken");
    }
    if (!tag.empty() && tag != kPlain && tag != "!") {
      throw YAML::ParserException(
          mark, absl::StrCat("tags like '", tag, "' are not taken"));
    }
  }

  // Where the next value will stand.
  std::string NextPath(const YAML::Mark& mark) const {
    if (open_.empty()) return "";
    const Open& parent = open_.back();
    if (parent.value.is_array()) {
      return ElementPath(parent.path, parent.value.size());
    }
    if (!parent.has_key) {
      throw YAML::ParserException(mark, "a key must be a text");
    }
    return KeyPath(parent.path, parent.key);
  }

  void Start(const YAML::Mark& mark, const std::string& tag,
             YAML::anchor_t anchor, json empty) {
    Refuse(mark, tag, anchor);
    std::string path = NextPath(mark);
    document_.lines[path] = mark.line + 1;
    open_.push_back({std::move(empty), std::move(path), "", false});
  }

  void End() {
    json value = std::move(open_.back().value);
    open_.pop_back();
    Add(std::move(value));
  }

  void Put(const YAML::Mark& mark, json value) {
    document_.lines[NextPath(mark)] = mark.line + 1;
    Add(std::move(value));
  }

  void Add(json value) {
    if (open_.empty()) {
      document_.value = std::move(value);
      return;
    }
    Open& parent = open_.back();
    if (parent.value.is_array()) {
      parent.value.push_back(std::move(value));
    } else {
      parent.value[parent.key] = std::move(value);
      parent.has_key = false;
    }
  }

  Document document_;
  std::vector<Open> open_;
};

absl::Status Wrong(size_t number, int line, const std::string& why) {
  return absl::InvalidArgumentError(
      absl::StrCat("document ", number,
                   line > 0 ? absl::StrCat(", line ", line) : "", ": ", why));
}

}  // namespace

absl::StatusOr<std::vector<Document>> ReadYaml(const std::string& text) {
  std::istringstream stream(text);
  std::vector<Document> documents;
  try {
    YAML::Parser parser(stream);
    for (;;) {
      Builder builder;
      if (!parser.HandleNextDocument(builder)) return documents;
      documents.push_back(builder.Take());
      const Document& document = documents.back();
      if (document.value.is_null()) {
        const auto line = document.lines.find("");
        return Wrong(documents.size(),
                     line == document.lines.end() ? 0 : line->second,
                     "it is empty");
      }
    }
  } catch (const YAML::Exception& error) {
    return Wrong(documents.size() + 1, error.mark.line + 1, error.msg);
  }
}

}  // namespace portreeve
