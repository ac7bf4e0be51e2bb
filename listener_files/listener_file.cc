#include "listener_files/listener_file.h"

#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"
#include "listener_files/document.h"
#include "listener_files/listener_document.h"
#include "listener_files/utf8.h"

namespace portreeve {
namespace {

using google::protobuf::TextFormat;

using Wanted = std::vector<WantedListener>;

constexpr char kCollection[] = "listeners/";

// Keeps the first error.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int, const std::string& message) override {
    if (message_.empty()) {
      message_ = absl::StrCat("line ", line + 1, ": ", message);
    }
  }

  const std::string& message() const { return message_; }

 private:
  std::string message_;
};

absl::StatusOr<Wanted> FromYaml(const std::string& file,
                                const std::string& text) {
  const auto documents = ReadYaml(text);
  if (!documents.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ", ", documents.status().message()));
  }
  Wanted all;
  for (size_t i = 0; i < documents->size(); ++i) {
    auto some =
        ListenersOf((*documents)[i], absl::StrCat(file, ", document ", i + 1));
    if (!some.ok()) return some;
    for (WantedListener& one : *some) all.push_back(std::move(one));
  }
  return all;
}

absl::StatusOr<Wanted> FromJson(const std::string& file,
                                const std::string& text) {
  const auto document = ReadJson(text);
  if (!document.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": ", document.status().message()));
  }
  return ListenersOf(*document, file);
}

absl::StatusOr<Wanted> FromTextproto(const std::string& file,
                                     const std::string& text) {
  FirstError error;
  TextFormat::ParseInfoTree tree;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  parser.WriteLocationsTo(&tree);
  v1::ListListenersResponse list;
  if (!parser.ParseFromString(text, &list)) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ", ", error.message()));
  }
  const auto* const field = list.GetDescriptor()->FindFieldByName("listeners");
  Wanted all;
  for (int i = 0; i < list.listeners_size(); ++i) {
    WantedListener one;
    one.listener = std::move(*list.mutable_listeners(i));
    one.place = absl::StrCat(file, ", listeners[", i, "]");
    one.lines[""] = tree.GetLocation(field, i).line + 1;
    all.push_back(std::move(one));
  }
  list.clear_listeners();
  if (list.ByteSizeLong() > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": only `listeners` may be set"));
  }
  return all;
}

absl::Status Wrong(const WantedListener& wanted, const std::string& field,
                   const std::string& why) {
  return absl::InvalidArgumentError(
      absl::StrCat(wanted.PlaceOf(field), ": ", field, ": ", why));
}

// Checks what is no matter of the format, and completes the name.
absl::Status CheckListener(WantedListener& wanted) {
  v1::Listener& listener = wanted.listener;
  if (listener.name().empty()) return Wrong(wanted, "name", "it is required");
  const absl::string_view id = absl::StripPrefix(listener.name(), kCollection);
  if (id.empty() || absl::StrContains(id, '/')) {
    return Wrong(
        wanted, "name",
        absl::StrCat("'", listener.name(), "' is no name: expected ID or ",
                     kCollection, "ID"));
  }
  listener.set_name(absl::StrCat(kCollection, id));
  if (!listener.has_spec()) return Wrong(wanted, "spec", "it is required");
  if (!listener.uid().empty()) {
    return Wrong(wanted, "uid", "only the daemon sets it");
  }
  if (listener.has_status()) {
    return Wrong(wanted, "status", "only the daemon sets it");
  }
  return absl::OkStatus();
}

absl::Status CheckAll(const std::string& file, Wanted& all) {
  if (all.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": no listener"));
  }
  std::map<std::string, std::string> places;
  for (WantedListener& wanted : all) {
    const absl::Status status = CheckListener(wanted);
    if (!status.ok()) return status;
    const auto [first, is_new] =
        places.emplace(wanted.listener.name(), wanted.PlaceOf("name"));
    if (!is_new) {
      return Wrong(wanted, "name",
                   absl::StrCat(wanted.listener.name(),
                                " is there already: ", first->second));
    }
  }
  return absl::OkStatus();
}

// Gives the number of the first line that is not UTF-8; 0 where all are.
int FirstLineNotUtf8(const std::string& text) {
  if (IsUtf8(text)) return 0;
  int number = 0;
  for (const auto line : absl::StrSplit(text, '\n')) {
    ++number;
    if (!IsUtf8(std::string(line))) return number;
  }
  return number;
}

}  // namespace

absl::StatusOr<FileFormat> ParseFileFormat(const std::string& text) {
  if (text == "yaml") return FileFormat::kYaml;
  if (text == "json") return FileFormat::kJson;
  if (text == "textproto") return FileFormat::kTextproto;
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "': expected yaml, json or textproto"));
}

std::optional<FileFormat> FormatByName(const std::string& file) {
  for (const auto& [end, format] : {std::pair(".yaml", FileFormat::kYaml),
                                    {".yml", FileFormat::kYaml},
                                    {".json", FileFormat::kJson},
                                    {".textproto", FileFormat::kTextproto},
                                    {".txtpb", FileFormat::kTextproto},
                                    {".pbtxt", FileFormat::kTextproto}}) {
    if (absl::EndsWith(file, end)) return format;
  }
  return std::nullopt;
}

FileFormat FormatOf(const std::string& file) {
  return FormatByName(file).value_or(FileFormat::kYaml);
}

std::string WantedListener::PlaceOf(const std::string& field) const {
  for (std::string path = field;;) {
    const auto line = lines.find(path);
    if (line != lines.end()) {
      return absl::StrCat(place, ", line ", line->second);
    }
    if (path.empty()) return place;
    const size_t dot = path.rfind('.');
    path = dot == std::string::npos ? "" : path.substr(0, dot);
  }
}

absl::StatusOr<Wanted> ParseListeners(const std::string& file,
                                      FileFormat format,
                                      const std::string& text) {
  if (text.size() > kMaxFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": it has more than ", kMaxFileBytes >> 20, " MiB"));
  }
  if (const int line = FirstLineNotUtf8(text); line != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ", line ", line, ": it is not UTF-8"));
  }
  absl::StatusOr<Wanted> all =
      format == FileFormat::kYaml   ? FromYaml(file, text)
      : format == FileFormat::kJson ? FromJson(file, text)
                                    : FromTextproto(file, text);
  if (!all.ok()) return all;
  const absl::Status status = CheckAll(file, *all);
  if (!status.ok()) return status;
  return all;
}

}  // namespace portreeve
