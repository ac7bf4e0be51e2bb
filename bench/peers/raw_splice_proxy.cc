// raw_splice_proxy ADDRESS:PORT UPSTREAM:PORT: forwards with as few system
// calls as epoll(7) and splice(2) allow, the practical limit for one.  One
// thread, edge-triggered.  Small messages are copied, as a detour through a
// pipe costs more; bulk goes through pipes that belong to a pool.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/net.h"

namespace portreeve::bench {
namespace {

// A read that fills the buffer is the sign of bulk.
constexpr size_t kBufferSize = 16 << 10;
constexpr size_t kPipeSize = 1 << 20;
constexpr int kAccepts = 64;
// After that many steps of one connection it is another one's turn.
constexpr int kSteps = 16;

char buffer[kBufferSize];

struct Pipe {
  int out = -1;
  int in = -1;
};

struct Connection;

struct End {
  Connection* connection = nullptr;
  int fd = -1;
  bool may_read = false;
  bool peer_ended = false;
};

// One direction.
struct Flow {
  // What could not be sent: while there is any, nothing is read.
  std::unique_ptr<std::string> rest;
  size_t in_pipe = 0;
  // Belongs to it while something is in it.
  Pipe pipe;
  bool bulk = false;
  bool ended = false;
};

struct Connection {
  End client;
  End upstream;
  Flow up;
  Flow down;
  bool closed = false;
};

// What became of an attempt to move something.
enum class Step { kMoved, kBlocked, kFailed };

Step Failed() { return errno == EAGAIN ? Step::kBlocked : Step::kFailed; }

class RawSpliceProxy {
 public:
  RawSpliceProxy(int listener, const sockaddr_in& upstream)
      : listener_(listener),
        upstream_(upstream),
        epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) Die("epoll_create1");
    Add(listener_, EPOLLIN, nullptr);
  }

  [[noreturn]] void Run() {
    epoll_event events[256];
    for (;;) {
      const int count =
          epoll_wait(epoll_, events, 256, again_.empty() ? -1 : 0);
      if (count < 0 && errno != EINTR) Die("epoll_wait");
      for (Connection* connection : std::exchange(again_, {})) {
        Pump(*connection);
      }
      for (int i = 0; i < count; ++i) {
        auto* end = static_cast<End*>(events[i].data.ptr);
        if (end == nullptr) {
          Accept();
          continue;
        }
        if (events[i].events & ~EPOLLOUT) end->may_read = true;
        if (events[i].events & (EPOLLRDHUP | EPOLLHUP)) end->peer_ended = true;
        Pump(*end->connection);
      }
      for (Connection* connection : closed_) delete connection;
      closed_.clear();
    }
  }

 private:
  void Add(int fd, uint32_t what, End* end) {
    epoll_event event{};
    event.events = what;
    event.data.ptr = end;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) Die("epoll_ctl");
  }

  void Accept() {
    for (int i = 0; i < kAccepts; ++i) {
      const int client =
          accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (client < 0 && errno == ECONNABORTED) continue;
      if (client < 0 && errno != EAGAIN) Die("accept4");
      if (client < 0) return;
      const int upstream = NewSocket();
      if (upstream < 0) Die("socket");
      if (connect(upstream, reinterpret_cast<const sockaddr*>(&upstream_),
                  sizeof upstream_) != 0 &&
          errno != EINPROGRESS) {
        CloseWithReset(client);
        close(upstream);
        continue;
      }
      auto* connection = new Connection;
      connection->client = {connection, client};
      connection->upstream = {connection, upstream};
      // Once and for all: there is no other epoll_ctl(2).
      constexpr uint32_t kEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
      Add(client, kEvents, &connection->client);
      Add(upstream, kEvents, &connection->upstream);
    }
  }

  void Pump(Connection& connection) {
    if (connection.closed) return;
    const Step up = Pump(connection.client, connection.upstream, connection.up);
    const Step down =
        Pump(connection.upstream, connection.client, connection.down);
    if (up == Step::kFailed || down == Step::kFailed) {
      CloseWithReset(connection.client.fd);
      CloseWithReset(connection.upstream.fd);
    } else if (connection.up.ended && connection.down.ended) {
      close(connection.client.fd);
      close(connection.upstream.fd);
    } else {
      if (up == Step::kMoved || down == Step::kMoved) {
        again_.push_back(&connection);
      }
      return;
    }
    connection.closed = true;
    for (Flow* flow : {&connection.up, &connection.down}) {
      if (flow->in_pipe == 0) continue;
      close(flow->pipe.out);
      close(flow->pipe.in);
    }
    closed_.push_back(&connection);
  }

  // kMoved: there may be more.
  Step Pump(End& from, End& to, Flow& flow) {
    Step step = Step::kMoved;
    for (int i = 0; i < kSteps && step == Step::kMoved; ++i) {
      if (flow.rest != nullptr) {
        step = SendRest(to, flow);
      } else if (flow.in_pipe > 0) {
        step = EmptyPipe(to, flow);
      } else if (flow.ended || !from.may_read) {
        step = Step::kBlocked;
      } else {
        step = flow.bulk ? Splice(from, to, flow) : Copy(from, to, flow);
      }
    }
    return step;
  }

  Step PassEnd(End& to, Flow& flow) {
    flow.ended = true;
    return shutdown(to.fd, SHUT_WR) == 0 ? Step::kBlocked : Step::kFailed;
  }

  Step Copy(End& from, End& to, Flow& flow) {
    const ssize_t size = recv(from.fd, buffer, kBufferSize, 0);
    if (size < 0) {
      from.may_read = false;
      return Failed();
    }
    if (size == 0) return PassEnd(to, flow);
    const auto count = static_cast<size_t>(size);
    flow.bulk = count == kBufferSize;
    // What comes later has an event of its own; the end may have had its.
    from.may_read = flow.bulk || from.peer_ended;
    const ssize_t sent = send(to.fd, buffer, count, MSG_NOSIGNAL);
    if (sent == size) return Step::kMoved;
    if (sent < 0 && errno != EAGAIN) return Step::kFailed;
    const auto done = static_cast<size_t>(sent < 0 ? 0 : sent);
    flow.rest = std::make_unique<std::string>(buffer + done, count - done);
    return Step::kBlocked;
  }

  Step SendRest(End& to, Flow& flow) {
    std::string& rest = *flow.rest;
    const ssize_t sent = send(to.fd, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0) return Failed();
    rest.erase(0, static_cast<size_t>(sent));
    if (!rest.empty()) return Step::kBlocked;
    flow.rest.reset();
    return Step::kMoved;
  }

  Step Splice(End& from, End& to, Flow& flow) {
    const Pipe pipe = TakePipe();
    const ssize_t size =
        splice(from.fd, nullptr, pipe.in, nullptr, kPipeSize, kFlags);
    if (size <= 0) {
      pipes_.push_back(pipe);
      if (size == 0) return PassEnd(to, flow);
      from.may_read = false;
      return Failed();
    }
    flow.pipe = pipe;
    flow.in_pipe = static_cast<size_t>(size);
    flow.bulk = flow.in_pipe >= kBufferSize;
    return EmptyPipe(to, flow);
  }

  Step EmptyPipe(End& to, Flow& flow) {
    const ssize_t size =
        splice(flow.pipe.out, nullptr, to.fd, nullptr, flow.in_pipe, kFlags);
    if (size < 0) return Failed();
    flow.in_pipe -= static_cast<size_t>(size);
    if (flow.in_pipe == 0) pipes_.push_back(flow.pipe);
    return Step::kMoved;
  }

  Pipe TakePipe() {
    if (!pipes_.empty()) {
      const Pipe pipe = pipes_.back();
      pipes_.pop_back();
      return pipe;
    }
    int ends[2];
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) Die("pipe2");
    // More than the default is allowed to few pipes only; less does, too.
    fcntl(ends[1], F_SETPIPE_SZ, kPipeSize);
    return {ends[0], ends[1]};
  }

  static constexpr unsigned kFlags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;

  const int listener_;
  const sockaddr_in upstream_;
  const int epoll_;
  // Empty ones.
  std::vector<Pipe> pipes_;
  // Have had their turn and are not done.
  std::vector<Connection*> again_;
  // May still have events in this round.
  std::vector<Connection*> closed_;
};

}  // namespace
}  // namespace portreeve::bench

int main(int argc, char** argv) {
  using namespace portreeve::bench;
  RaiseDescriptorLimit();
  const int listener = ListenOn(ParseEndpoint(argc > 2 ? argv[1] : ""));
  const sockaddr_in upstream = ParseEndpoint(argv[2]);
  PrintPort(listener);
  RawSpliceProxy(listener, upstream).Run();
}
