#include "server/daemon/tls_source.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"

namespace portreeve::server {
namespace {

// This is longer than the steps of any file system's clock.
constexpr time_t kSettleSeconds = 3;

bool Same(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

}  // namespace

bool TlsSource::Stamp::operator==(const Stamp& other) const {
  return device == other.device && inode == other.inode && size == other.size &&
         Same(modified, other.modified) && Same(changed, other.changed);
}

absl::StatusOr<std::unique_ptr<TlsSource>> TlsSource::Open(TlsFiles files) {
  auto contents = ReadTlsFiles(files);
  if (!contents.ok()) return contents.status();
  if (auto s = CheckTlsContents(files, *contents); !s.ok()) return s;
  return std::unique_ptr<TlsSource>(
      new TlsSource(std::move(files), *std::move(contents)));
}

std::shared_ptr<const TlsContents> TlsSource::Latest() {
  const MutexLock lock(mutex_);
  // This comes before the files are read, so that a change meanwhile shows the
  // next time.
  const Stamps stamps = Look();
  if (stamps_ == stamps) return good_;
  const time_t settled = time(nullptr) - kSettleSeconds;
  const auto is_settled = [&](const Stamp& stamp) {
    return stamp.changed.tv_sec <= settled;
  };
  stamps_.reset();
  if (std::all_of(stamps.begin(), stamps.end(), is_settled)) stamps_ = stamps;
  Reload();
  return good_;
}

TlsSource::Stamps TlsSource::Look() const {
  Stamps stamps;
  const std::string* paths[] = {&files_.certificate, &files_.key,
                                &files_.client_ca};
  for (size_t i = 0; i < stamps.size(); ++i) {
    struct stat status {};
    if (stat(paths[i]->c_str(), &status) != 0) continue;
    stamps[i] = {status.st_dev, status.st_ino, status.st_size, status.st_mtim,
                 status.st_ctim};
  }
  return stamps;
}

void TlsSource::Reload() {
  auto contents = ReadTlsFiles(files_);
  if (!contents.ok()) {
    return Reject(std::string(contents.status().message()), {});
  }
  if (*contents != *good_) {
    const auto checked = CheckTlsContents(files_, *contents);
    if (!checked.ok()) {
      return Reject(std::string(checked.message()), *std::move(contents));
    }
    good_ = std::make_shared<const TlsContents>(*std::move(contents));
    Log(LogLevel::kInfo,
        absl::StrCat("TLS: reloaded ", files_.certificate, ", ", files_.key,
                     " and ", files_.client_ca));
  }
  rejected_error_.clear();
  rejected_ = {};
}

void TlsSource::Reject(const std::string& error, TlsContents contents) {
  if (error == rejected_error_ && contents == rejected_) return;
  Log(LogLevel::kError,
      absl::StrCat("TLS: still using the old files: ", error));
  rejected_error_ = error;
  rejected_ = std::move(contents);
}

}  // namespace portreeve::server
