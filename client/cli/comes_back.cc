#include "client/cli/comes_back.h"

#include "absl/strings/str_cat.h"
#include "listener_files/listener_file.h"

namespace portreeve::cli {

std::string ComesBackText(const v1::Listener& listener) {
  const auto& labels = listener.spec().labels();
  const auto file = labels.find(kFileLabel);
  if (file == labels.end() ||
      listener.status().source() != v1::LISTENER_SOURCE_FLAG) {
    return "";
  }
  return absl::StrCat(listener.name(),
                      " comes back at the next start of the daemon, as it is "
                      "in the file ",
                      file->second, " of its --listeners");
}

}  // namespace portreeve::cli
