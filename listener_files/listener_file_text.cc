// ListenersText.
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/json_util.h"
#include "listener_files/listener_file.h"

namespace portreeve {
namespace {

using nlohmann::json;

v1::ListListenersResponse NamesAndSpecs(
    const std::vector<v1::Listener>& listeners) {
  v1::ListListenersResponse list;
  for (const v1::Listener& listener : listeners) {
    v1::Listener& one = *list.add_listeners();
    one.set_name(listener.name());
    *one.mutable_spec() = listener.spec();
    one.mutable_spec()->mutable_labels()->erase(kFileLabel);
  }
  return list;
}

json Parsed(const v1::ListListenersResponse& list) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  // It fails only for messages that no daemon sends, like a duration beyond
  // its range; then the text is what there is of it.
  (void)google::protobuf::util::MessageToJsonString(list, &text, options);
  return json::parse(text, nullptr, false);
}

// Whether `text` needs no quotes, for our reader or any other of YAML.
bool IsPlain(const std::string& text) {
  const auto is_ordinary = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' ||
           c == '-' || c == '/' || c == '.';
  };
  if (text.empty() || !std::all_of(text.begin(), text.end(), is_ordinary) ||
      (text[0] != '/' &&
       !absl::ascii_isalpha(static_cast<unsigned char>(text[0])))) {
    return false;
  }
  for (const char* word :
       {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}) {
    if (absl::AsciiStrToLower(text) == word) return false;
  }
  return true;
}

void EmitText(const std::string& text, YAML::Emitter& out) {
  if (!IsPlain(text)) out << YAML::DoubleQuoted;
  out << text;
}

void Emit(const json& value, YAML::Emitter& out) {
  if (value.is_object()) {
    out << YAML::BeginMap;
    for (const auto& [key, member] : value.items()) {
      out << YAML::Key;
      EmitText(key, out);
      out << YAML::Value;
      Emit(member, out);
    }
    out << YAML::EndMap;
  } else if (value.is_string()) {
    EmitText(value.get<std::string>(), out);
  } else {
    out << value.dump();
  }
}

std::string ToYaml(const v1::ListListenersResponse& list) {
  const json parsed = Parsed(list);
  std::string text;
  for (const json& listener : parsed.value("listeners", json::array())) {
    YAML::Emitter out;
    out.SetOutputCharset(YAML::EscapeNonAscii);
    Emit(listener, out);
    absl::StrAppend(&text, "---\n", out.c_str(), "\n");
  }
  return text;
}

std::string ToTextproto(const v1::ListListenersResponse& list) {
  std::string text;
  google::protobuf::TextFormat::PrintToString(list, &text);
  return absl::StrCat(
      "# proto-file: portreeve/v1/listener.proto\n"
      "# proto-message: portreeve.v1.ListListenersResponse\n",
      text);
}

}  // namespace

std::string ListenersText(const std::vector<v1::Listener>& listeners,
                          FileFormat format) {
  const v1::ListListenersResponse list = NamesAndSpecs(listeners);
  switch (format) {
    case FileFormat::kYaml:
      return ToYaml(list);
    case FileFormat::kJson:
      // The library keeps keys in order, and escapes what is not ASCII.
      return absl::StrCat(Parsed(list).dump(-1, ' ', true), "\n");
    case FileFormat::kTextproto:
      return ToTextproto(list);
  }
  return "";
}

}  // namespace portreeve
