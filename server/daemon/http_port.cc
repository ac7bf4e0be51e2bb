#include "server/daemon/http_port.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "server/http/tls_context.h"

namespace portreeve::server {
namespace {

// Gives the newest good context of the files.
// Threads: one at a time.
class TlsContexts {
 public:
  explicit TlsContexts(std::shared_ptr<TlsSource> source)
      : source_(std::move(source)) {}

  // Must come first.  Errors: INVALID_ARGUMENT.
  absl::Status Update() {
    auto latest = source_->Latest();
    if (latest == in_use_) return absl::OkStatus();
    in_use_ = latest;
    auto made =
        TlsContext::Make({latest->certificate, latest->key, latest->client_ca});
    if (!made.ok()) return made.status();
    context_ = *std::move(made);
    return absl::OkStatus();
  }

  // Never null.
  std::shared_ptr<TlsContext> Latest() {
    if (const absl::Status updated = Update(); !updated.ok()) {
      Log(LogLevel::kError,
          absl::StrCat("http: TLS: still using the old files: ",
                       std::string(updated.message())));
    }
    return context_;
  }

 private:
  const std::shared_ptr<TlsSource> source_;
  std::shared_ptr<const TlsContents> in_use_;
  std::shared_ptr<TlsContext> context_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpPort>> HttpPort::Start(Options options) {
  std::unique_ptr<HttpPort> port(new HttpPort);
  if (auto s = port->Open(std::move(options)); !s.ok()) return s;
  return port;
}

absl::Status HttpPort::Open(Options options) {
  HttpServer::Options of_server;
  of_server.max_connections = options.max_connections;
  of_server.max_refused = options.max_refused;
  of_server.host_names = std::move(options.host_names);
  if (options.tls != nullptr) {
    auto contexts = std::make_shared<TlsContexts>(std::move(options.tls));
    if (auto s = contexts->Update(); !s.ok()) return s;
    of_server.tls = [contexts] { return contexts->Latest(); };
  }
  const auto open = [&] {
    of_server.pages = options.pages(loop_.executor());
    return OpenOnLoop(std::move(of_server), options.places,
                      std::move(options.handed));
  };
  return loop_.Run(open).get();
}

absl::Status HttpPort::OpenOnLoop(HttpServer::Options options,
                                  const std::vector<HttpPlace>& places,
                                  std::map<size_t, HandedSocket> handed) {
  server_ = std::make_unique<HttpServer>(loop_.executor(), std::move(options));
  for (size_t i = 0; i < places.size(); ++i) {
    const auto found = handed.find(i);
    auto s = found == handed.end() ? server_->Listen(places[i])
                                   : server_->Resume(std::move(found->second));
    if (!s.ok()) return s;
  }
  addresses_ = server_->addresses();
  return server_->Start();
}

std::vector<FrozenListeningSocket> HttpPort::Freeze() {
  return loop_.Run([this] { return server_->Freeze(); }).get();
}

void HttpPort::HandOver() {
  loop_.Run([this] { server_->HandOver(); }).get();
}

void HttpPort::Own() {
  loop_.Run([this] { server_->Own(); }).get();
}

HttpPort::~HttpPort() { Stop(); }

void HttpPort::Stop() {
  if (server_ == nullptr) return;
  loop_.RunTask(server_->Stop()).get();
  loop_.Run([this] { server_.reset(); }).get();
  loop_.Join();
}

}  // namespace portreeve::server
