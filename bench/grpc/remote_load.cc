#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "bench/grpc/bulk_load.h"
#include "bench/grpc/loopback_socket.h"
#include "bench/grpc/measurement.h"
#include "bench/grpc/message_flow.h"
#include "bench/grpc/remote_worker.h"

namespace portreeve::bench {
namespace {

constexpr int kReceiveBytes = 256 * 1024;
constexpr int kStuckMilliseconds = 30'000;

// TCP clients of the listener, all on one thread.
class TcpClients {
 public:
  TcpClients(int port, const BulkOptions& options, Tally& tally)
      : tally_(tally) {
    for (int i = 0; i < options.connections; ++i) {
      clients_.push_back(std::make_unique<Client>(port, options, tally));
    }
  }

  // Moves `messages` there and back on each connection.
  void Move(int64_t messages) {
    for (const auto& client : clients_) client->flow.Add(messages);
    std::vector<pollfd> wanted(clients_.size());
    for (;;) {
      bool done = true;
      for (size_t i = 0; i < clients_.size(); ++i) {
        const MessageFlow& flow = clients_[i]->flow;
        done = done && flow.done();
        wanted[i].fd = clients_[i]->socket.fd();
        wanted[i].events =
            static_cast<short>(POLLIN | (flow.ToSend().empty() ? 0 : POLLOUT));
      }
      if (done) return;
      if (poll(wanted.data(), wanted.size(), kStuckMilliseconds) <= 0) {
        return tally_.CountError("nothing moves");
      }
      for (size_t i = 0; i < clients_.size(); ++i) {
        if (wanted[i].revents != 0 && !Serve(*clients_[i])) return;
      }
    }
  }

 private:
  struct Client {
    Client(int port, const BulkOptions& options, Tally& tally)
        : socket(port), flow(options.message_bytes, options.in_flight, tally) {}
    LoopbackSocket socket;
    MessageFlow flow;
  };

  // False after an error.
  bool Serve(Client& client) {
    const int fd = client.socket.fd();
    for (auto data = client.flow.ToSend(); !data.empty();
         data = client.flow.ToSend()) {
      const ssize_t n =
          send(fd, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n < 0) break;
      client.flow.OnSent(static_cast<size_t>(n));
    }
    const ssize_t n = recv(fd, space_.data(), space_.size(), MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return true;
    if (n <= 0) {
      tally_.CountError("the connection has ended");
      return false;
    }
    const std::string_view data(space_.data(), static_cast<size_t>(n));
    if (client.flow.OnReceived(data)) return true;
    tally_.CountError("wrong data");
    return false;
  }

  Tally& tally_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::string space_ = std::string(kReceiveBytes, '\0');
};

}  // namespace

std::string RunRemote(const Target& target, const BulkOptions& options) {
  Tally tally;
  std::atomic<int64_t> frames = 0;
  const RemoteWorker worker(target.server, tally, frames);
  const int64_t messages = MessagesOfEach(options);
  const Stopwatch idle(target.pid);
  if (worker.port() == 0) return idle.ToJson(tally.Take(0));
  TcpClients clients(worker.port(), options, tally);
  clients.Move(1);
  tally.ForgetLatencies();
  frames = 0;
  const Stopwatch stopwatch(target.pid);
  clients.Move(messages);
  Result result =
      tally.Take(messages * options.connections * options.message_bytes);
  result.more["frames"] = static_cast<double>(frames);
  return stopwatch.ToJson(result);
}

}  // namespace portreeve::bench
