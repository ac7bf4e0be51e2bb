#include "server/daemon/listener_directory.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "lib/base/status.h"
#include "listener_files/utf8.h"
#include "server/api/errors.h"
#include "server/api/names.h"
#include "server/daemon/regular_file.h"

namespace portreeve::server {
namespace {

absl::Status Wrong(const std::string& place, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(place, ": ", why));
}

// Gives the names of the files in `directory`, in their order.
absl::StatusOr<std::vector<std::string>> FilesIn(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end;
       !error && entry != end; entry.increment(error)) {
    std::string name = entry->path().filename().string();
    if (name.front() == '.' || !FormatByName(name)) continue;
    std::error_code unknown;  // What it is shows when it is opened.
    if (entry->is_directory(unknown)) continue;
    names.push_back(std::move(name));
  }
  if (error) return Wrong(directory, error.message());
  std::sort(names.begin(), names.end());
  return names;
}

// Adds the listeners of the file `name`.
absl::Status AddListenersOf(const std::string& directory,
                            const std::string& name,
                            std::vector<FileListener>& all) {
  const std::string path = absl::StrCat(directory, "/", name);
  if (!IsUtf8(name)) return Wrong(path, "its name is not UTF-8");
  // ParseListeners() refuses more than it takes.
  const auto text = ReadRegularFile(path, kMaxFileBytes);
  if (!text.ok()) return Wrong(path, text.status().message());
  auto some = ParseListeners(path, *FormatByName(name), *text);
  if (!some.ok()) return some.status();
  for (WantedListener& wanted : *some) {
    v1::CreateListenerRequest request;
    request.set_listener_id(std::string(
        absl::StripPrefix(wanted.listener.name(), ListenerName(""))));
    *request.mutable_spec() = wanted.listener.spec();
    FileListener listener{std::move(wanted), {}};
    auto draft = CheckCreateOfFile(request, name);
    if (!draft.ok()) return AtItsPlace(listener, draft.status());
    listener.draft = *std::move(draft);
    all.push_back(std::move(listener));
  }
  return absl::OkStatus();
}

absl::Status CheckNamesDiffer(const std::vector<FileListener>& all) {
  std::map<std::string, std::string> places;
  for (const FileListener& listener : all) {
    const WantedListener& wanted = listener.wanted;
    const std::string place = wanted.PlaceOf("name");
    const auto [first, is_new] = places.emplace(wanted.listener.name(), place);
    if (is_new) continue;
    return Wrong(place, absl::StrCat("name: ", wanted.listener.name(),
                                     " is there already: ", first->second));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<FileListener>> ReadListenerDirectory(
    const std::string& directory) {
  const auto names = FilesIn(directory);
  if (!names.ok()) return names.status();
  std::vector<FileListener> all;
  for (const std::string& name : *names) {
    if (auto s = AddListenersOf(directory, name, all); !s.ok()) return s;
  }
  if (auto s = CheckNamesDiffer(all); !s.ok()) return s;
  return all;
}

absl::Status AtItsPlace(const FileListener& listener,
                        const absl::Status& error) {
  const WantedListener& wanted = listener.wanted;
  if (ReasonOf(error) == "LISTENER_EXISTS") {
    return Wrong(wanted.PlaceOf("name"),
                 absl::StrCat("name: ", wanted.listener.name(),
                              " is a listener of the state, too: name this one "
                              "otherwise, or start without it and delete that "
                              "one"));
  }
  std::string field = DetailOf(error).field;
  absl::string_view why = error.message();
  absl::ConsumePrefix(&why, absl::StrCat(field, ": "));
  if (field == "listener_id") field = "name";  // As the file has it.
  return Wrong(wanted.PlaceOf(field),
               field.empty() ? why : absl::StrCat(field, ": ", why));
}

}  // namespace portreeve::server
