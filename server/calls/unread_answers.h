// UnreadAnswers: how much waits within gRPC for each client to read it.
#ifndef PORTREEVE_SERVER_CALLS_UNREAD_ANSWERS_H_
#define PORTREEVE_SERVER_CALLS_UNREAD_ANSWERS_H_

#include <grpcpp/server_context.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <string>
#include <unordered_map>

#include "absl/status/status.h"
#include "lib/base/mutex.h"

namespace portreeve::server {

namespace asio = boost::asio;

// A client may ask and not read: what it was answered waits, call by call,
// until HTTP/2's flow control lets it go.  Here the bytes of large answers, and
// of what waits for those who read no stream, are counted for each connection,
// whose name is the peer's (grpc::ServerContext::peer()).
//
// One for each io_context: Of() finds or makes it.
// Threads: any.
class UnreadAnswers {
 public:
  // What may wait for one connection.
  static constexpr size_t kMaxBytes = size_t{16} << 20;
  // So much of each call is not counted, which costs something: the number of
  // calls is bounded, too.
  static constexpr size_t kSmallBytes = 4096;

  static UnreadAnswers& Of(asio::io_context& loop);

  UnreadAnswers() = default;
  UnreadAnswers(const UnreadAnswers&) = delete;
  UnreadAnswers& operator=(const UnreadAnswers&) = delete;

  // Counts `bytes` more for `peer`: true.  False, and counts nothing, where
  // they do not fit.  What is too much by itself fits where there is nothing
  // else.
  bool TryAdd(const std::string& peer, size_t bytes);
  // The same for what cannot be refused any more: it is counted all the same.
  void Add(const std::string& peer, size_t bytes);
  // They are not there any more.
  void Remove(const std::string& peer, size_t bytes);

  // Whether a further call need not even be tried: something did not fit, or
  // would not, and nothing was read since.  Costs nothing while nobody is.
  bool IsFull(const grpc::ServerContextBase& context) {
    return num_full_.load(std::memory_order_relaxed) > 0 &&
           IsFull(context.peer());
  }
  bool IsFull(const std::string& peer);

  size_t BytesOf(const std::string& peer);

 private:
  struct Account {
    size_t bytes = 0;
    bool is_full = false;
  };

  bool Add(const std::string& peer, size_t bytes, bool must_fit);
  void SetFull(Account& account, bool is_full) PORTREEVE_REQUIRES(mutex_);

  std::atomic<int> num_full_ = 0;
  Mutex mutex_;
  std::unordered_map<std::string, Account> accounts_
      PORTREEVE_GUARDED_BY(mutex_);
};

// RESOURCE_EXHAUSTED / OVERLOADED: too much is unread.
absl::Status TooMuchUnread();

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_UNREAD_ANSWERS_H_
