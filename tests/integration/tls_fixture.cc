#include "tests/integration/tls_fixture.h"

#include <grpcpp/generic/generic_stub.h>

#include <chrono>
#include <fstream>

namespace portreeve::testing {
namespace {

grpc::ChannelArguments OwnConnection() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return arguments;
}

}  // namespace

TlsFixture::TlsFixture() {
  WriteServer(server_);
  Write("ca", ca_.certificate());
}

std::vector<std::string> TlsFixture::Arguments(
    const std::vector<std::string>& more) const {
  std::vector<std::string> arguments = {"--tls-cert",      folder_.File("cert"),
                                        "--tls-key",       folder_.File("key"),
                                        "--tls-client-ca", folder_.File("ca")};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::string TlsFixture::Write(const std::string& name,
                              const std::string& text) const {
  std::ofstream(folder_.File(name), std::ios::trunc) << text;
  return folder_.File(name);
}

void TlsFixture::WriteServer(const Certificate& server) const {
  Write("cert", server.certificate);
  Write("key", server.key);
}

TlsFixture::Channel TlsFixture::Secure(const std::string& target,
                                       const CertificateAuthority& server_ca,
                                       const Certificate& client) {
  const grpc::SslCredentialsOptions options{server_ca.certificate(), client.key,
                                            client.certificate};
  return grpc::CreateCustomChannel(target, grpc::SslCredentials(options),
                                   OwnConnection());
}

TlsFixture::Channel TlsFixture::Plain(const std::string& target) {
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(),
                                   OwnConnection());
}

grpc::Status TlsFixture::Call(const Channel& channel, const std::string& method,
                              const std::string& request) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::seconds(30));
  grpc::CompletionQueue queue;
  const auto done = [&queue] {
    void* tag;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  const auto call = stub.PrepareCall(&context, method, &queue);
  call->StartCall(nullptr);
  bool answered = false;
  if (done()) {
    const grpc::Slice slice(request);
    call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
    done();
    grpc::ByteBuffer answer;
    call->Read(&answer, nullptr);
    answered = done();
  }
  if (answered) context.TryCancel();
  grpc::Status status;
  call->Finish(&status, nullptr);
  done();
  queue.Shutdown();
  done();
  return answered ? grpc::Status::OK : status;
}

grpc::Status TlsFixture::List(const Channel& channel) {
  return Call(channel, "/portreeve.v1.ListenerService/ListListeners");
}

}  // namespace portreeve::testing
