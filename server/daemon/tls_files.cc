#include "server/daemon/tls_files.h"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/descriptor.h"

namespace portreeve::server {
namespace {

constexpr char kCertificateFlag[] = "--tls-cert";
constexpr char kKeyFlag[] = "--tls-key";
constexpr char kClientCaFlag[] = "--tls-client-ca";

// This is far above the bundles of all public CAs.
constexpr size_t kMaxFileBytes = 4 * 1024 * 1024;

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

// Clears OpenSSL's errors of this thread, which gRPC reads, too.
class ScopedErrors {
 public:
  ScopedErrors() { ERR_clear_error(); }
  ~ScopedErrors() { ERR_clear_error(); }
};

// A file, for the errors about it.
struct File {
  const char* flag;
  const std::string& path;

  absl::Status Wrong(absl::string_view what) const {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, " ", path, ": ", what));
  }
  // Gives the error with OpenSSL's reason, if it has one.
  absl::Status Refused(absl::string_view what) const {
    const char* reason = ERR_reason_error_string(ERR_peek_last_error());
    if (reason == nullptr) return Wrong(what);
    return Wrong(absl::StrCat(what, ": ", reason));
  }
};

absl::StatusOr<std::string> Read(const File& file) {
  // It does not block, since a FIFO without a writer would hold up the caller.
  const Descriptor fd(
      open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status {};
  if (!fd.is_open() || fstat(fd.get(), &status) != 0) {
    return file.Wrong(std::strerror(errno));
  }
  if (!S_ISREG(status.st_mode)) return file.Wrong("is not a regular file");
  std::string contents;
  char buffer[16 * 1024];
  ssize_t size;
  while ((size = read(fd.get(), buffer, sizeof buffer)) > 0) {
    contents.append(buffer, static_cast<size_t>(size));
    if (contents.size() > kMaxFileBytes) return file.Wrong("is too large");
  }
  if (size < 0) return file.Wrong(std::strerror(errno));
  // gRPC takes the contents as a C string.
  if (contents.find('\0') != contents.npos) return file.Wrong("is not PEM");
  return contents;
}

Owned<BIO> Open(const std::string& text) {
  return Owned<BIO>(
      BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// Without this OpenSSL would ask the terminal.  Sets `asked`, if that is not
// null.
int NoPassphrase(char*, int, int, void* asked) {
  if (asked != nullptr) *static_cast<bool*>(asked) = true;
  return -1;
}

// Gives the certificates in `text`; there must be one at least.
absl::StatusOr<std::vector<Owned<X509>>> Certificates(const File& file,
                                                      const std::string& text) {
  const Owned<BIO> bio = Open(text);
  std::vector<Owned<X509>> certificates;
  for (;;) {
    Owned<X509> next(
        PEM_read_bio_X509_AUX(bio.get(), nullptr, NoPassphrase, nullptr));
    if (next == nullptr) break;
    certificates.push_back(std::move(next));
  }
  const bool at_end =
      ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  if (!at_end) return file.Refused("has a certificate that cannot be read");
  ERR_clear_error();
  if (certificates.empty()) return file.Wrong("has no certificate in PEM");
  return certificates;
}

absl::StatusOr<Owned<EVP_PKEY>> Key(const File& file, const std::string& text) {
  bool asked = false;
  const Owned<BIO> bio = Open(text);
  Owned<EVP_PKEY> key(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, &asked));
  if (key != nullptr) return key;
  if (asked) return file.Wrong("is protected by a passphrase");
  return file.Wrong("has no private key in PEM");
}

// Checks the pair as gRPC will, which says nothing when it fails.
absl::Status CheckPair(const File& certificate_file, const File& key_file,
                       const std::vector<Owned<X509>>& chain, EVP_PKEY* key) {
  const Owned<SSL_CTX> context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) return certificate_file.Refused("cannot be checked");
  X509* own = chain.front().get();
  if (X509_check_private_key(own, key) != 1) {
    return key_file.Wrong(absl::StrCat("does not belong to ",
                                       certificate_file.flag, " ",
                                       certificate_file.path));
  }
  if (SSL_CTX_use_certificate(context.get(), own) != 1) {
    return certificate_file.Refused("cannot be used");
  }
  for (size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context.get(), chain[i].get()) != 1) {
      return certificate_file.Refused("cannot be used");
    }
  }
  if (SSL_CTX_use_PrivateKey(context.get(), key) != 1) {
    return key_file.Refused("cannot be used");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TlsContents> ReadTlsFiles(const TlsFiles& files) {
  auto certificate = Read({kCertificateFlag, files.certificate});
  if (!certificate.ok()) return certificate.status();
  auto key = Read({kKeyFlag, files.key});
  if (!key.ok()) return key.status();
  auto client_ca = Read({kClientCaFlag, files.client_ca});
  if (!client_ca.ok()) return client_ca.status();
  return TlsContents{*std::move(certificate), *std::move(key),
                     *std::move(client_ca)};
}

absl::Status CheckTlsContents(const TlsFiles& files,
                              const TlsContents& contents) {
  const ScopedErrors errors;
  const File certificate_file{kCertificateFlag, files.certificate};
  const File key_file{kKeyFlag, files.key};
  const File client_ca_file{kClientCaFlag, files.client_ca};
  const auto chain = Certificates(certificate_file, contents.certificate);
  if (!chain.ok()) return chain.status();
  const auto key = Key(key_file, contents.key);
  if (!key.ok()) return key.status();
  const auto client_ca = Certificates(client_ca_file, contents.client_ca);
  if (!client_ca.ok()) return client_ca.status();
  return CheckPair(certificate_file, key_file, *chain, key->get());
}

}  // namespace portreeve::server
