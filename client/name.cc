#include "client/name.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace portreeve::client {
namespace {

constexpr char kListeners[] = "listeners/";
constexpr char kConnections[] = "connections/";

absl::StatusOr<std::string> Id(const char* collection,
                               const std::string& text) {
  const std::string id(absl::StripPrefix(text, collection));
  if (id.empty() || absl::StrContains(id, "/")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", text, "' is no name: expected ID or ", collection, "ID"));
  }
  return id;
}

absl::StatusOr<std::string> Name(const char* collection,
                                 const std::string& text) {
  absl::StatusOr<std::string> id = Id(collection, text);
  if (!id.ok()) return id;
  return absl::StrCat(collection, *id);
}

}  // namespace

absl::StatusOr<std::string> ListenerName(const std::string& text) {
  return Name(kListeners, text);
}

absl::StatusOr<std::string> ConnectionName(const std::string& text) {
  return Name(kConnections, text);
}

absl::StatusOr<std::string> ListenerId(const std::string& text) {
  return Id(kListeners, text);
}

}  // namespace portreeve::client
