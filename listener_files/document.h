// Document: what a file of listeners says, as JSON, with the lines where it
// says so.
#ifndef PORTREEVE_LISTENER_FILES_DOCUMENT_H_
#define PORTREEVE_LISTENER_FILES_DOCUMENT_H_

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace portreeve {

struct Document {
  nlohmann::json value;
  // By the path of a value as the file spells it, like "spec.handler" or
  // "listeners[0].name", and "" for the whole: its line, from 1.  Empty where
  // the format has no lines to tell.
  std::map<std::string, int> lines;
};

// Gives the documents of a text in YAML, of which none is empty.  A scalar
// without quotes that is `true`, `false`, `null`, `~` or nothing is that; every
// other one is a string, also `NO`, `1.10` and `8080`.
//
// Errors: INVALID_ARGUMENT, with the number of the document and the line, for
// text that is not YAML, a key that is there twice, and for anchors, aliases
// and tags, which are not taken.
absl::StatusOr<std::vector<Document>> ReadYaml(const std::string& text);

// Gives the one document of a text in JSON.
//
// Errors: INVALID_ARGUMENT, with the line, or with the key that is there twice.
absl::StatusOr<Document> ReadJson(const std::string& text);

// Gives the path of `key` in the value at `path`, and that of an element.
std::string KeyPath(const std::string& path, const std::string& key);
std::string ElementPath(const std::string& path, size_t index);

}  // namespace portreeve

#endif  // PORTREEVE_LISTENER_FILES_DOCUMENT_H_
