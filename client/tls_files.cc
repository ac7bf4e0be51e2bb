#include "client/tls_files.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cerrno>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace portreeve::client {
namespace {

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

absl::Status Wrong(const std::string& path, const std::string& what) {
  return absl::InvalidArgumentError(
      absl::StrCat("the file '", path, "' ", what));
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  // A directory opens, but cannot be read; nothing to read is a failure too.
  if (!file || !(text << file.rdbuf())) {
    if (errno == 0) return Wrong(path, "is empty");
    return absl::ErrnoToStatus(
        errno, absl::StrCat("the file '", path, "' cannot be read"));
  }
  return text.str();
}

// Without it OpenSSL would ask the terminal.
int NoPassphrase(char*, int, int, void*) { return -1; }

Owned<BIO> Open(const std::string& text) {
  return Owned<BIO>(
      BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// The first certificate in the text of a file.
absl::StatusOr<Owned<X509>> Certificate(const std::string& path,
                                        const std::string& text) {
  Owned<X509> certificate(
      PEM_read_bio_X509_AUX(Open(text).get(), nullptr, NoPassphrase, nullptr));
  ERR_clear_error();  // gRPC reads them too.
  if (certificate == nullptr) return Wrong(path, "holds no certificate in PEM");
  return certificate;
}

absl::StatusOr<Owned<EVP_PKEY>> Key(const std::string& path,
                                    const std::string& text) {
  Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(Open(text).get(), nullptr,
                                              NoPassphrase, nullptr));
  ERR_clear_error();
  if (key == nullptr) {
    return Wrong(path,
                 "holds no private key in PEM, or one that needs a passphrase");
  }
  return key;
}

absl::Status CheckPair(const TlsOptions& options, const TlsFiles& files) {
  auto certificate = Certificate(options.certificate, files.certificate);
  if (!certificate.ok()) return certificate.status();
  auto key = Key(options.key, files.key);
  if (!key.ok()) return key.status();
  const bool match =
      X509_check_private_key(certificate->get(), key->get()) == 1;
  ERR_clear_error();
  if (match) return absl::OkStatus();
  return Wrong(options.key, absl::StrCat("holds another key than that of '",
                                         options.certificate, "'"));
}

absl::Status CheckOptions(const TlsOptions& options) {
  if (options.ca.empty()) {
    return absl::InvalidArgumentError("TLS needs the file of a CA");
  }
  if (options.certificate.empty() != options.key.empty()) {
    return absl::InvalidArgumentError(
        "a certificate and its key go together: one of the files is missing");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TlsFiles> ReadTlsFiles(const TlsOptions& options) {
  absl::Status checked = CheckOptions(options);
  if (!checked.ok()) return checked;
  TlsFiles files;
  const std::pair<const std::string&, std::string&> kFiles[] = {
      {options.ca, files.ca},
      {options.certificate, files.certificate},
      {options.key, files.key}};
  for (const auto& [path, text] : kFiles) {
    if (path.empty()) continue;
    absl::StatusOr<std::string> read = ReadFile(path);
    if (!read.ok()) return read.status();
    text = *std::move(read);
  }
  checked = Certificate(options.ca, files.ca).status();
  if (checked.ok() && !options.key.empty()) checked = CheckPair(options, files);
  if (!checked.ok()) return checked;
  return files;
}

}  // namespace portreeve::client
