// The PEM files of TlsOptions.  For the .cc files of this library only.
#ifndef PORTREEVE_CLIENT_TLS_FILES_H_
#define PORTREEVE_CLIENT_TLS_FILES_H_

#include <string>

#include "absl/status/statusor.h"
#include "client/tls_options.h"

namespace portreeve::client {

// The texts of the files; empty where there is no file.
struct TlsFiles {
  std::string ca;
  std::string certificate;
  std::string key;
};

// Reads the files and checks them as gRPC will, which says nothing when it
// fails.
//
// Errors: INVALID_ARGUMENT for options that do not go together, a file that is
// not what it should be, or a key that is not the certificate's; NOT_FOUND,
// PERMISSION_DENIED and others for a file that cannot be read.  Each names the
// file.
absl::StatusOr<TlsFiles> ReadTlsFiles(const TlsOptions& options);

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_TLS_FILES_H_
