#include "server/upgrade/opened_listeners.h"

#include <openssl/sha.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace portreeve::server {
namespace {

// It is the same in every version of the program.
uint64_t DigestOf(const std::string& text) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         digest);
  uint64_t first = 0;
  std::memcpy(&first, digest, sizeof first);
  return first;
}

}  // namespace

bool OpenedListeners::Note(Source source, const std::string& text) {
  const std::string what =
      absl::StrCat(source == Source::kFlag ? "flag " : "file ", text);
  const int number = ++counts_[what];
  return opened_.insert(DigestOf(absl::StrCat(number, " ", what))).second;
}

std::vector<uint64_t> OpenedListeners::Save() const {
  const size_t count = std::min(opened_.size(), kMostSaved);
  return {opened_.begin(),
          std::next(opened_.begin(), static_cast<ptrdiff_t>(count))};
}

void OpenedListeners::Restore(const std::vector<uint64_t>& saved) {
  opened_.insert(saved.begin(), saved.end());
}

}  // namespace portreeve::server
