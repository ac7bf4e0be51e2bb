#include "tests/testing/certificates.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>

namespace portreeve::testing {
namespace {

constexpr std::chrono::hours kDay{24};

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509_EXTENSION* e) const { X509_EXTENSION_free(e); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

void Require(bool done, const char* what) {
  if (done) return;
  std::fprintf(stderr, "OpenSSL: %s failed\n", what);
  ERR_print_errors_fp(stderr);
  std::abort();
}

Owned<EVP_PKEY> NewKey() {
  Owned<EVP_PKEY> key(EVP_EC_gen("P-256"));
  Require(key != nullptr, "EVP_EC_gen");
  return key;
}

std::string Text(const Owned<BIO>& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

std::string Pem(X509* certificate) {
  const Owned<BIO> bio(BIO_new(BIO_s_mem()));
  Require(PEM_write_bio_X509(bio.get(), certificate) == 1, "PEM_write");
  return Text(bio);
}

// With a passphrase, if there is one.
std::string Pem(EVP_PKEY* key, const char* passphrase = nullptr) {
  const Owned<BIO> bio(BIO_new(BIO_s_mem()));
  const EVP_CIPHER* cipher = passphrase ? EVP_aes_128_cbc() : nullptr;
  Require(
      PEM_write_bio_PKCS8PrivateKey(bio.get(), key, cipher, nullptr, 0, nullptr,
                                    const_cast<char*>(passphrase)) == 1,
      "PEM_write");
  return Text(bio);
}

// Not signed yet.  Says nothing of its issuer.
Owned<X509> NewCertificate(const std::string& common_name, EVP_PKEY* key,
                           std::chrono::seconds valid_until) {
  Owned<X509> made(X509_new());
  X509* certificate = made.get();
  X509_set_version(certificate, X509_VERSION_3);
  uint32_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate),
                  -std::chrono::seconds(kDay).count());
  X509_gmtime_adj(X509_getm_notAfter(certificate), valid_until.count());
  X509_set_pubkey(certificate, key);
  X509_NAME_add_entry_by_txt(
      X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
      reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0);
  return made;
}

void AddExtension(X509* certificate, int nid, const std::string& value) {
  const Owned<X509_EXTENSION> extension(
      X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str()));
  Require(extension != nullptr, value.c_str());
  Require(X509_add_ext(certificate, extension.get(), -1) == 1, "X509_add_ext");
}

void Sign(X509* certificate, X509* issuer, EVP_PKEY* key) {
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
  Require(X509_sign(certificate, key, EVP_sha256()) > 0, "X509_sign");
}

}  // namespace

struct CertificateAuthority::Pair {
  Owned<EVP_PKEY> key;
  Owned<X509> certificate;

  explicit Pair(const std::string& name)
      : key(NewKey()), certificate(NewCertificate(name, key.get(), kDay)) {
    AddExtension(certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
    Sign(certificate.get(), certificate.get(), key.get());
  }
};

CertificateAuthority::CertificateAuthority(const std::string& name)
    : pair_(std::make_unique<const Pair>(name)),
      pem_(Pem(pair_->certificate.get())) {}

CertificateAuthority::~CertificateAuthority() = default;

Certificate CertificateAuthority::ForServer() const {
  return Issue("server", "IP:127.0.0.1,DNS:localhost", kDay);
}

Certificate CertificateAuthority::ForClient(
    const std::string& common_name, const std::string& alternative_name) const {
  return Issue(common_name, alternative_name, kDay);
}

Certificate CertificateAuthority::Expired(
    const std::string& common_name) const {
  return Issue(common_name, "", -std::chrono::minutes(1));
}

Certificate CertificateAuthority::Issue(
    const std::string& common_name, const std::string& alternative_name,
    std::chrono::seconds valid_until) const {
  const Owned<EVP_PKEY> key = NewKey();
  const Owned<X509> certificate =
      NewCertificate(common_name, key.get(), valid_until);
  if (!alternative_name.empty()) {
    AddExtension(certificate.get(), NID_subject_alt_name, alternative_name);
  }
  Sign(certificate.get(), pair_->certificate.get(), pair_->key.get());
  return {Pem(certificate.get()), Pem(key.get())};
}

std::string Encrypted(const std::string& key) {
  const Owned<BIO> bio(
      BIO_new_mem_buf(key.data(), static_cast<int>(key.size())));
  const Owned<EVP_PKEY> read(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  Require(read != nullptr, "PEM_read");
  return Pem(read.get(), "passphrase");
}

Certificate WithShortKey() {
  const Owned<EVP_PKEY> key(EVP_RSA_gen(1024));
  Require(key != nullptr, "EVP_RSA_gen");
  const Owned<X509> certificate = NewCertificate("short", key.get(), kDay);
  Sign(certificate.get(), certificate.get(), key.get());
  return {Pem(certificate.get()), Pem(key.get())};
}

}  // namespace portreeve::testing
