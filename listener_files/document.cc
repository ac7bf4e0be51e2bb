#include "listener_files/document.h"

#include "absl/strings/str_cat.h"

namespace portreeve {

std::string KeyPath(const std::string& path, const std::string& key) {
  return path.empty() ? key : absl::StrCat(path, ".", key);
}

std::string ElementPath(const std::string& path, size_t index) {
  return absl::StrCat(path, "[", index, "]");
}

}  // namespace portreeve
