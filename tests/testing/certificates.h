// Certificates for tests of TLS.
#ifndef PORTREEVE_TESTS_TESTING_CERTIFICATES_H_
#define PORTREEVE_TESTS_TESTING_CERTIFICATES_H_

#include <chrono>
#include <memory>
#include <string>

namespace portreeve::testing {

// Both PEM.
struct Certificate {
  std::string certificate;
  std::string key;
};

// A CA of a test's own.  Its certificates are valid for a day around now.
class CertificateAuthority {
 public:
  explicit CertificateAuthority(const std::string& name);
  CertificateAuthority(const CertificateAuthority&) = delete;
  CertificateAuthority& operator=(const CertificateAuthority&) = delete;
  ~CertificateAuthority();

  // Its own certificate, PEM.
  const std::string& certificate() const { return pem_; }

  // A server's, for 127.0.0.1 and localhost.
  Certificate ForServer() const;
  // A client's.  `alternative_name` is like "DNS:name" or "URI:name"; "": none.
  Certificate ForClient(const std::string& common_name,
                        const std::string& alternative_name = "") const;
  // A client's, that was valid until a minute ago.
  Certificate Expired(const std::string& common_name) const;

 private:
  struct Pair;

  Certificate Issue(const std::string& common_name,
                    const std::string& alternative_name,
                    std::chrono::seconds valid_until) const;

  const std::unique_ptr<const Pair> pair_;
  std::string pem_;
};

// `key` of a certificate, protected by a passphrase.
std::string Encrypted(const std::string& key);
// A certificate that signs itself, with a key too short to be secure.
Certificate WithShortKey();

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_CERTIFICATES_H_
