// The files of the daemon's TLS: its certificate, its key, and the CA that its
// clients' certificates come from.
#ifndef PORTREEVE_SERVER_DAEMON_TLS_FILES_H_
#define PORTREEVE_SERVER_DAEMON_TLS_FILES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace portreeve::server {

// The paths of the files.
struct TlsFiles {
  std::string certificate;  // --tls-cert: the daemon's own is the first in it.
  std::string key;          // --tls-key
  std::string client_ca;    // --tls-client-ca: has one certificate or more.

  friend bool operator==(const TlsFiles&, const TlsFiles&) = default;
};

// What stands in the files: PEM.
struct TlsContents {
  std::string certificate;
  std::string key;
  std::string client_ca;

  friend bool operator==(const TlsContents&, const TlsContents&) = default;
};

// Reads regular files, of a bounded size; it never waits for a writer.
// Errors: INVALID_ARGUMENT, one line: "--tls-key /a/key.pem: what is wrong".
absl::StatusOr<TlsContents> ReadTlsFiles(const TlsFiles& files);

// Whether gRPC can serve with `contents`: each is PEM to its end, the key is
// that of the first certificate, and OpenSSL takes them.  `files` is for the
// errors, which are like those of ReadTlsFiles().
// Threads: any.
absl::Status CheckTlsContents(const TlsFiles& files,
                              const TlsContents& contents);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_TLS_FILES_H_
