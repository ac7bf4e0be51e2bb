// Certificates for tests of TLS.
#ifndef PORTREEVE_TESTS_TESTING_CERTIFICATES_H_
#define PORTREEVE_TESTS_TESTING_CERTIFICATES_H_

#include <chrono>
#include <memory>
#include <string>

namespace portreeve::testing {

// Both are PEM.
struct Certificate {
  std::string certificate;
  std::string key;
};

// A CA that belongs to one test.  Its certificates are valid for a day around
// now.
class CertificateAuthority {
 public:
  explicit CertificateAuthority(const std::string& name);
  CertificateAuthority(const CertificateAuthority&) = delete;
  CertificateAuthority& operator=(const CertificateAuthority&) = delete;
  ~CertificateAuthority();

  // The CA's own certificate, PEM.
  const std::string& certificate() const { return pem_; }

  // Gives a server's certificate, for 127.0.0.1 and localhost.
  Certificate ForServer() const;
  // Gives a client's certificate.  `alternative_name` is like "DNS:name" or
  // "URI:name"; "": none.
  Certificate ForClient(const std::string& common_name,
                        const std::string& alternative_name = "") const;
  // Gives a client's certificate that was valid until a minute ago.
  Certificate Expired(const std::string& common_name) const;

 private:
  struct Pair;

  Certificate Issue(const std::string& common_name,
                    const std::string& alternative_name,
                    std::chrono::seconds valid_until) const;

  const std::unique_ptr<const Pair> pair_;
  std::string pem_;
};

// Gives `key`, of a certificate, protected by a passphrase.
std::string Encrypted(const std::string& key);
// Gives a certificate that signs itself, with a key too short to be secure.
Certificate WithShortKey();

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_CERTIFICATES_H_
