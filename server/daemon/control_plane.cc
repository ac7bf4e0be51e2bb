#include "server/daemon/control_plane.h"

#include <grpc/grpc.h>
#include <grpcpp/alarm.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>

#include <chrono>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"

namespace portreeve::server {
namespace {

// Prepares gRPC for the whole process; it must be called before the first
// server is built.
void PrepareGrpc() {
  static const bool once = [] {
    // This is never taken back.  Otherwise the end of the last server would end
    // gRPC, which joins a thread of its own that may sleep for 10 s, where a
    // client did not read.
    grpc_init();
    // The daemon has one of its own (server/about).
    grpc::EnableDefaultHealthCheckService(false);
    return true;
  }();
  (void)once;
}

int Milliseconds(std::chrono::milliseconds time) {
  return static_cast<int>(time.count());
}

void SetChannelArguments(grpc::ServerBuilder& builder, Duration handshake) {
  // The handshake is TLS and the beginning of HTTP/2.
  builder.AddChannelArgument(
      GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
      Milliseconds(std::chrono::ceil<std::chrono::milliseconds>(handshake)));
  // What a stream that nobody reads may hold is fixed: no window grows with the
  // speed of the connection.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES,
                             ControlPlane::kStreamWindowBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE,
                             ControlPlane::kMaxHttp2FrameBytes);
  // All that one read takes becomes calls before anybody can look at them, so
  // that it has to be little.
  builder.AddChannelArgument("grpc.experimental.tcp_max_read_chunk_size",
                             ControlPlane::kReadBytes);
  // A client that is gone without a word is noticed, also while it is silent.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS,
                             Milliseconds(ControlPlane::kKeepaliveTime));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                             Milliseconds(ControlPlane::kKeepaliveTimeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Clients may ask the daemon for signs of life, too.
  builder.AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
}

absl::Status OfControl(const absl::Status& error) {
  return absl::Status(error.code(),
                      absl::StrCat("--control: ", error.message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ControlPlane>> ControlPlane::Start(
    Loop& loop, const std::vector<grpc::Service*>& services,
    const Options& options, std::map<size_t, Descriptor> given) {
  PrepareGrpc();
  std::unique_ptr<ControlPlane> plane(new ControlPlane(loop, options));
  if (auto s = plane->Listen(options.places, std::move(given)); !s.ok()) {
    return OfControl(s);
  }
  if (auto s = options.on_bound(plane->addresses()); !s.ok()) return s;
  if (auto s = plane->Serve(services, options); !s.ok()) return OfControl(s);
  auto start = [&plane] { return plane->StartAccepting(); };
  if (auto s = loop.Run(start).get(); !s.ok()) return OfControl(s);
  return plane;
}

absl::StatusOr<std::unique_ptr<ControlPlane>> ControlPlane::Prepare(
    Loop& loop, const std::vector<grpc::Service*>& services,
    const Options& options) {
  PrepareGrpc();
  std::unique_ptr<ControlPlane> plane(new ControlPlane(loop, options));
  if (auto s = plane->Serve(services, options); !s.ok()) return OfControl(s);
  return plane;
}

absl::Status ControlPlane::ListenFrozen(const std::vector<ControlPlace>& places,
                                        std::map<size_t, HandedSocket> handed) {
  for (size_t i = 0; i < places.size(); ++i) {
    const auto found = handed.find(i);
    auto s = found == handed.end()
                 ? acceptor_->Listen(places[i])
                 : acceptor_->Resume(std::move(found->second));
    if (!s.ok()) return OfControl(s);
  }
  return absl::OkStatus();
}

std::vector<AnyAddress> ControlPlane::frozen_addresses() const {
  return acceptor_->addresses();
}

std::vector<FrozenListeningSocket> ControlPlane::Freeze() const {
  return acceptor_->Freeze();
}

void ControlPlane::Expect(ControlConnection::Expected expected) {
  if (acceptor_ != nullptr) acceptor_->Expect(std::move(expected));
}

void ControlPlane::HandOverSockets() { acceptor_->HandOverSockets(); }

void ControlPlane::Own() {
  if (auto s = StartAccepting(); !s.ok()) {
    Log(LogLevel::kError, absl::StrCat("control: ", std::string(s.message()),
                                       "; nobody can connect any more"));
  }
  acceptor_->Own();
}

ControlPlane::ControlPlane(Loop& loop, const Options& options)
    : loop_(loop),
      tls_(options.tls == nullptr
               ? nullptr
               : std::make_shared<TlsCredentials>(options.tls)) {
  auto make = [&] {
    memory_ =
        std::make_unique<ControlMemory>(options.max_memory, options.accounted);
    acceptor_ = std::make_unique<ControlAcceptor>(
        loop_.executor(), options.limits, tls_ != nullptr, table_, *memory_);
  };
  loop_.Run(make).get();
}

absl::Status ControlPlane::Listen(const std::vector<ControlPlace>& places,
                                  std::map<size_t, Descriptor> given) {
  auto listen = [&]() -> absl::Status {
    for (size_t i = 0; i < places.size(); ++i) {
      std::optional<Descriptor> socket;
      if (const auto found = given.find(i); found != given.end()) {
        socket = std::move(found->second);
      }
      if (auto s = acceptor_->Listen(places[i], std::move(socket)); !s.ok()) {
        return s;
      }
    }
    return absl::OkStatus();
  };
  return loop_.Run(listen).get();
}

absl::Status ControlPlane::Serve(const std::vector<grpc::Service*>& services,
                                 const Options& options) {
  grpc::ServerBuilder builder;
  SetChannelArguments(builder, options.limits.handshake);
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  CountCalls(builder, table_, options.requests);
  builder.RegisterCallbackGenericService(&unknown_methods_);
  for (grpc::Service* service : services) builder.RegisterService(service);
  if (tls_ != nullptr) {
    secure_ = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        tls_);
  }
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) {
    return absl::UnavailableError("gRPC does not start");
  }
  return absl::OkStatus();
}

absl::Status ControlPlane::StartAccepting() {
  return acceptor_->Start(
      [this](int fd, bool is_unix) { HandOverSoon(fd, is_unix); });
}

void ControlPlane::HandOverSoon(int fd, bool is_unix) {
  Descriptor socket(fd);
  auto alarm = std::make_shared<grpc::Alarm>();
  std::function<void(bool)> hand_over = [this, fd, is_unix,
                                         alarm](bool) mutable {
    HandOver(fd, is_unix);
    alarm.reset();  // The alarm has the function, which has the alarm.
    const MutexLock lock(mutex_);
    if (--num_to_hand_over_ == 0) handed_over_.NotifyAll();
  };
  {
    const MutexLock lock(mutex_);
    ++num_to_hand_over_;
  }
  alarm->Set(std::chrono::system_clock::now(), std::move(hand_over));
  (void)socket.Release();
}

void ControlPlane::AwaitHandOvers() {
  const MutexLock lock(mutex_);
  while (num_to_hand_over_ > 0) handed_over_.Wait(mutex_);
}

void ControlPlane::HandOver(int fd, bool is_unix) {
  if (secure_ == nullptr || is_unix) {
    grpc::AddInsecureChannelFromFd(server_.get(), fd);
    return;
  }
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters
      connection;
  connection.fd = fd;
  secure_->HandleNewConnection(&connection);
}

ControlPlane::~ControlPlane() { Stop(Duration::zero()); }

std::vector<AnyAddress> ControlPlane::addresses() const {
  return loop_.Run([this] { return acceptor_->addresses(); }).get();
}

void ControlPlane::CancelCalls() {
  const MutexLock lock(mutex_);
  hurries_ = true;
  if (stopping_ != nullptr) grpc_server_cancel_all_calls(stopping_);
}

void ControlPlane::Stop(Duration patience) {
  if (acceptor_ == nullptr) return;
  // The addresses are free first, for a daemon that takes over.
  loop_.Run([this] { acceptor_->StopAccepting(); }).get();
  AwaitHandOvers();
  if (server_ != nullptr) {
    {
      const MutexLock lock(mutex_);
      stopping_ = server_->c_server();
      if (hurries_) patience = Duration::zero();
    }
    server_->Shutdown(std::chrono::system_clock::now() +
                      std::chrono::ceil<std::chrono::microseconds>(patience));
    server_->Wait();
    {
      const MutexLock lock(mutex_);
      stopping_ = nullptr;
    }
    server_.reset();
  }
  auto close = [this] {
    acceptor_->Close();
    acceptor_.reset();
    memory_.reset();
  };
  loop_.Run(close).get();
}

}  // namespace portreeve::server
