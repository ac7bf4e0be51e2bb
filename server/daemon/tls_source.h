// TlsSource: gives the newest good contents of the files of TLS.
#ifndef PORTREEVE_SERVER_DAEMON_TLS_SOURCE_H_
#define PORTREEVE_SERVER_DAEMON_TLS_SOURCE_H_

#include <sys/stat.h>

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "server/daemon/tls_files.h"

namespace portreeve::server {

// Looks at the files when it is asked, and keeps the last contents that were
// good.
// Threads: any.
class TlsSource {
 public:
  // Errors: those of ReadTlsFiles() and CheckTlsContents().
  static absl::StatusOr<std::unique_ptr<TlsSource>> Open(TlsFiles files);

  TlsSource(const TlsSource&) = delete;
  TlsSource& operator=(const TlsSource&) = delete;

  // Gives what the files hold now; while that is not good, what they held
  // before, and each way of being wrong is logged once.  As long as nothing has
  // changed it gives the same pointer, and costs three calls of stat(2).
  std::shared_ptr<const TlsContents> Latest();

 private:
  // By this a file is known from what it was, and from another in its place.
  struct Stamp {
    dev_t device = 0;
    ino_t inode = 0;  // All fields are 0: no file.
    off_t size = 0;
    timespec modified{};
    timespec changed{};

    bool operator==(const Stamp& other) const;
  };
  using Stamps = std::array<Stamp, 3>;

  TlsSource(TlsFiles files, TlsContents good)
      : files_(std::move(files)),
        good_(std::make_shared<const TlsContents>(std::move(good))) {}

  Stamps Look() const;
  // Reads the files; the new contents are good, or the error is logged.
  void Reload() PORTREEVE_REQUIRES(mutex_);
  void Reject(const std::string& error, TlsContents contents)
      PORTREEVE_REQUIRES(mutex_);

  const TlsFiles files_;

  Mutex mutex_;
  std::shared_ptr<const TlsContents> good_ PORTREEVE_GUARDED_BY(mutex_);
  // The stamps of the files when they were read last; none if the files were so
  // new that a second change might not show.
  std::optional<Stamps> stamps_ PORTREEVE_GUARDED_BY(mutex_);
  // What was logged last; "" while the files are good.
  std::string rejected_error_ PORTREEVE_GUARDED_BY(mutex_);
  TlsContents rejected_ PORTREEVE_GUARDED_BY(mutex_);
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_TLS_SOURCE_H_
