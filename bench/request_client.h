// RequestClient: a connection that sends a message, awaits its echo, and sends
// the next one.
#ifndef PORTREEVE_BENCH_REQUEST_CLIENT_H_
#define PORTREEVE_BENCH_REQUEST_CLIENT_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "bench/event_loop.h"
#include "bench/load_run.h"
#include "bench/pattern.h"

namespace portreeve::bench {

// What the clients of a run have in common: the messages that are still to be
// sent, and how they look.
class Requests {
 public:
  explicit Requests(LoadRun& run) : run_(run) {}

  // Allows `count` more messages.
  void Allow(uint64_t count) { left_ += count; }
  // Gives true if the caller may send one more.
  bool Take() { return left_ > 0 && left_-- > 0; }

  LoadRun& run() { return run_; }
  const Pattern& pattern() const { return pattern_; }

  // How many clients await something: a connection or an echo.
  uint64_t busy = 0;

 private:
  LoadRun& run_;
  const Pattern pattern_;
  uint64_t left_ = 0;
};

class RequestClient final : public Watched {
 public:
  // Begins to connect.  Its messages are unlike those of clients with another
  // `seed`.
  RequestClient(Requests& requests, uint64_t seed);
  RequestClient(const RequestClient&) = delete;
  RequestClient& operator=(const RequestClient&) = delete;
  ~RequestClient();

  // Sends a message, and the next ones for as long as there are any; does
  // nothing if the client has failed.
  void Start();

  void OnEvents(uint32_t events) override;

 private:
  enum class State { kConnecting, kIdle, kAwaitingEcho, kFailed };

  void Fail(const char* what, int code = 0);
  void FinishConnecting();
  void Next();
  void Send();
  void Receive();

  Requests& requests_;
  int fd_ = -1;
  State state_ = State::kConnecting;
  // Where the message stands in the pattern, and how far it has come.
  uint64_t position_;
  uint64_t sent_ = 0;
  uint64_t received_ = 0;
  uint64_t begin_ = 0;
};

// Connects clients until there are `count`, few at a time so that no backlog
// overflows.  The run learns of a failure.
void OpenClients(Requests& requests, uint64_t count,
                 std::vector<std::unique_ptr<RequestClient>>& clients);

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_REQUEST_CLIENT_H_
