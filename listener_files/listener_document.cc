#include "listener_files/listener_document.h"

#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "google/protobuf/util/json_util.h"

namespace portreeve {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MessageFactory;
using nlohmann::json;

// Reads one listener of a document.
class ListenerReader {
 public:
  ListenerReader(const Document& document, std::string path, std::string place)
      : document_(document), root_(std::move(path)) {
    wanted_.place = std::move(place);
  }

  absl::StatusOr<WantedListener> Read(const json& value) && {
    const Descriptor& type = *v1::Listener::descriptor();
    absl::Status status = Check(value, type, root_, "", false);
    if (!status.ok()) return status;
    const auto parsed = google::protobuf::util::JsonStringToMessage(
        value.dump(), &wanted_.listener);
    if (parsed.ok()) return std::move(wanted_);
    // Which field it was, its text does not always tell.
    status = Check(value, type, root_, "", true);
    return status.ok() ? Wrong("", std::string(parsed.message())) : status;
  }

 private:
  static const FieldDescriptor* FieldOf(const Descriptor& type,
                                        const std::string& key) {
    const FieldDescriptor* field = type.FindFieldByName(key);
    return field != nullptr ? field : type.FindFieldByCamelcaseName(key);
  }

  // Whether the fields of `field` stand in a file as such.
  static bool IsOpen(const FieldDescriptor& field) {
    return field.type() == FieldDescriptor::TYPE_MESSAGE && !field.is_map() &&
           !absl::StartsWith(field.message_type()->full_name(),
                             "google.protobuf.");
  }

  // Checks the fields of `value`, which stands at `at` in the document and at
  // `path` in the listener; their values, too, if `values`.
  absl::Status Check(const json& value, const Descriptor& type,
                     const std::string& at, const std::string& path,
                     bool values) {
    Note(at, path);
    if (!value.is_object()) return Wrong(path, "expected fields");
    std::set<const FieldDescriptor*> seen;
    for (const auto& [key, member] : value.items()) {
      const FieldDescriptor* field = FieldOf(type, key);
      if (field == nullptr) {
        Note(KeyPath(at, key), KeyPath(path, key));
        return Wrong(KeyPath(path, key), "there is no such field");
      }
      const std::string inner = KeyPath(path, field->name());
      const std::string inner_at = KeyPath(at, key);
      Note(inner_at, inner);
      if (!seen.insert(field).second) {
        return Wrong(inner, "it is there twice, by both of its names");
      }
      const absl::Status status =
          IsOpen(*field) && !member.is_null()
              ? Check(member, *field->message_type(), inner_at, inner, values)
              : CheckValue(type, *field, key, member, inner, values);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status CheckValue(const Descriptor& type, const FieldDescriptor& field,
                          const std::string& key, const json& value,
                          const std::string& path, bool values) const {
    // Protobuf would take 0660, by which everybody means 0o660, for 660.
    const bool is_octal = field.name() == "mode" && value.is_string() &&
                          value.get_ref<const std::string&>().size() > 1 &&
                          value.get_ref<const std::string&>()[0] == '0';
    if (is_octal) {
      return Wrong(path, "a mode is a decimal number: 432 for 0660");
    }
    if (!values) return absl::OkStatus();
    const std::unique_ptr<Message> message(
        MessageFactory::generated_factory()->GetPrototype(&type)->New());
    const auto parsed = google::protobuf::util::JsonStringToMessage(
        json{{key, value}}.dump(), message.get());
    if (parsed.ok()) return absl::OkStatus();
    return Wrong(path, std::string(parsed.message()));
  }

  // Takes the line of a field from the document.
  void Note(const std::string& at, const std::string& path) {
    const auto line = document_.lines.find(at);
    if (line != document_.lines.end()) wanted_.lines[path] = line->second;
  }

  absl::Status Wrong(const std::string& path, const std::string& why) const {
    return absl::InvalidArgumentError(
        absl::StrCat(wanted_.PlaceOf(path), ": ",
                     path.empty() ? "" : absl::StrCat(path, ": "), why));
  }

  const Document& document_;
  const std::string root_;
  WantedListener wanted_;
};

}  // namespace

absl::StatusOr<std::vector<WantedListener>> ListenersOf(
    const Document& document, const std::string& place) {
  const json& value = document.value;
  std::vector<WantedListener> listeners;
  if (!value.is_object() || !value.contains("listeners")) {
    auto one = ListenerReader(document, "", place).Read(value);
    if (!one.ok()) return one.status();
    listeners.push_back(*std::move(one));
    return listeners;
  }
  const json& list = value["listeners"];
  if (value.size() != 1 || !list.is_array()) {
    return absl::InvalidArgumentError(absl::StrCat(
        place, ": listeners: expected a list, and nothing beside it"));
  }
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string path = ElementPath("listeners", i);
    auto one = ListenerReader(document, path, absl::StrCat(place, ", ", path))
                   .Read(list[i]);
    if (!one.ok()) return one.status();
    listeners.push_back(*std::move(one));
  }
  return listeners;
}

}  // namespace portreeve
