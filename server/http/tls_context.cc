#include "server/http/tls_context.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <boost/asio/buffer.hpp>

namespace portreeve::server {
namespace {

std::string TextOf(const ASN1_STRING* string) {
  unsigned char* text = nullptr;
  const int size = ASN1_STRING_to_UTF8(&text, string);
  if (size < 0) return "";
  std::string copy(reinterpret_cast<const char*>(text),
                   static_cast<size_t>(size));
  OPENSSL_free(text);
  return copy;
}

std::string AddressText(const ASN1_OCTET_STRING* address) {
  char text[INET6_ADDRSTRLEN] = "";
  const int size = ASN1_STRING_length(address);
  const int family = size == 4 ? AF_INET : AF_INET6;
  if (size != 4 && size != 16) return "";
  (void)inet_ntop(family, ASN1_STRING_get0_data(address), text, sizeof text);
  return text;
}

std::string TextOf(const GENERAL_NAME* name) {
  int type = 0;
  void* const value = GENERAL_NAME_get0_value(name, &type);
  if (type == GEN_DNS || type == GEN_EMAIL || type == GEN_URI) {
    return TextOf(static_cast<const ASN1_STRING*>(value));
  }
  if (type != GEN_IPADD) return "";
  return AddressText(static_cast<const ASN1_OCTET_STRING*>(value));
}

}  // namespace

std::vector<std::string> NamesOf(X509* certificate) {
  std::vector<std::string> names;
  const auto add = [&names](std::string name) {
    if (!name.empty()) names.push_back(std::move(name));
  };
  const X509_NAME* const subject = X509_get_subject_name(certificate);
  const int common = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (common >= 0) {
    add(TextOf(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, common))));
  }
  auto* const alternative = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(alternative); ++i) {
    add(TextOf(sk_GENERAL_NAME_value(alternative, i)));
  }
  GENERAL_NAMES_free(alternative);
  return names;
}

absl::StatusOr<std::shared_ptr<TlsContext>> TlsContext::Make(const Pem& pem) {
  std::shared_ptr<TlsContext> made(new TlsContext);
  asio::ssl::context& context = made->context_;
  SSL_CTX* const native = context.native_handle();
  boost::system::error_code error;
  const auto step = [&error](auto&& f) {
    if (!error) f();
  };
  // OpenSSL would ask at the terminal for the passphrase of a key that has one.
  step([&] {
    context.set_password_callback(
        [](size_t, asio::ssl::context::password_purpose) {
          return std::string();
        },
        error);
  });
  step([&] {
    context.use_certificate_chain(asio::buffer(pem.certificate), error);
  });
  step([&] {
    context.use_private_key(asio::buffer(pem.key), asio::ssl::context::pem,
                            error);
  });
  step([&] {
    context.add_certificate_authority(asio::buffer(pem.client_ca), error);
  });
  step([&] {
    context.set_verify_mode(
        asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert, error);
  });
  ERR_clear_error();
  if (error) return absl::InvalidArgumentError(error.message());
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(native, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_num_tickets(native, 0);
  if (X509* const own = SSL_CTX_get0_certificate(native)) {
    made->names_ = NamesOf(own);
  }
  return made;
}

}  // namespace portreeve::server
