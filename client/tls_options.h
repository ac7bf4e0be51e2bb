// How a client proves who it is, and whom it trusts.
#ifndef PORTREEVE_CLIENT_TLS_OPTIONS_H_
#define PORTREEVE_CLIENT_TLS_OPTIONS_H_

#include <string>

namespace portreeve::client {

// `ca`, `certificate` and `key` are paths of PEM files; relative ones count
// from the working directory.  The files are read once.
struct TlsOptions {
  // The CAs that may have signed the daemon's certificate.  Required.
  std::string ca;
  // The client's own certificate chain and private key, for a daemon that asks
  // for them: both, or neither.
  std::string certificate;
  std::string key;
  // The name that the daemon's certificate must be for.  Empty: the host of the
  // address, "localhost" for a unix socket.
  std::string server_name;
};

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_TLS_OPTIONS_H_
