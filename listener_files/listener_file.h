// Files that say which listeners there shall be.
#ifndef PORTREEVE_LISTENER_FILES_LISTENER_FILE_H_
#define PORTREEVE_LISTENER_FILES_LISTENER_FILE_H_

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "portreeve/v1/listener.pb.h"

namespace portreeve {

enum class FileFormat { kYaml, kJson, kTextproto };

// The label that a daemon gives to listeners of its own files (`--listeners`),
// with the file's name.  Nobody else may set it.
inline constexpr char kFileLabel[] = "portreeve.file";

// The most bytes of a file.
inline constexpr size_t kMaxFileBytes = 8 << 20;

// Parses "yaml", "json" or "textproto".
absl::StatusOr<FileFormat> ParseFileFormat(const std::string& text);

// Gives the format that the name of a file says by its ending: .yaml, .yml,
// .json, .textproto, .txtpb or .pbtxt.
std::optional<FileFormat> FormatByName(const std::string& file);

// Gives the same; kYaml where it says none.
FileFormat FormatOf(const std::string& file);

struct WantedListener {
  v1::Listener listener;  // Its name, `listeners/ID`, and its spec.
  std::string place;      // Like "web.yaml, document 2".
  // By the path of a field, like "spec.max_connections": its line, from 1.
  // Empty where the format has no lines to tell.
  std::map<std::string, int> lines;

  // Gives the place of a field, with its line or that of the nearest field
  // around it: "web.yaml, document 2, line 7".
  std::string PlaceOf(const std::string& field) const;
};

// Gives the listeners that `text`, read from `file`, has; one at least, and no
// two of the same name.
//
// Errors: INVALID_ARGUMENT, which names the file, the document, the line where
// the format has one, and the field.
absl::StatusOr<std::vector<WantedListener>> ParseListeners(
    const std::string& file, FileFormat format, const std::string& text);

// Gives the name and the spec of each listener, as ParseListeners takes them,
// without kFileLabel; safe on a terminal.
std::string ListenersText(const std::vector<v1::Listener>& listeners,
                          FileFormat format);

}  // namespace portreeve

#endif  // PORTREEVE_LISTENER_FILES_LISTENER_FILE_H_
