// TlsFixture: what a daemon that speaks TLS, and its clients, need.
#ifndef PORTREEVE_TESTS_INTEGRATION_TLS_FIXTURE_H_
#define PORTREEVE_TESTS_INTEGRATION_TLS_FIXTURE_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/testing/certificates.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::testing {

class TlsFixture : public ::testing::Test {
 protected:
  using Channel = std::shared_ptr<grpc::Channel>;

  // Writes the files of `server_` and `ca_`.
  TlsFixture();

  // The three flags of TLS, and `more`.
  std::vector<std::string> Arguments(
      const std::vector<std::string>& more = {}) const;

  // Replaces the content of a file in the folder; its path.
  std::string Write(const std::string& name, const std::string& text) const;
  void WriteServer(const Certificate& server) const;

  // A channel that shares no connection with another: its first call makes a
  // handshake.  The server's certificate must come from `server_ca`.  `client`
  // may be empty.
  static Channel Secure(const std::string& target,
                        const CertificateAuthority& server_ca,
                        const Certificate& client);
  static Channel Plain(const std::string& target);

  // Calls "/portreeve.v1.Service/Method" with `request` as the only message,
  // however many the method takes: OK once there is an answer, else the status.
  static grpc::Status Call(const Channel& channel, const std::string& method,
                           const std::string& request = "");
  // ListListeners, which every role may call.
  static grpc::Status List(const Channel& channel);

  const TemporaryFolder folder_;
  const CertificateAuthority ca_{"ca"};
  const CertificateAuthority other_ca_{"another ca"};
  const Certificate server_ = ca_.ForServer();
  const Certificate client_ = ca_.ForClient("client");
  const Certificate no_certificate_;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_INTEGRATION_TLS_FIXTURE_H_
