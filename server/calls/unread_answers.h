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

// A client may ask and not read: then its answers wait, call by call, until
// HTTP/2's flow control lets them go.  This counts, for each connection, the
// bytes of large answers and of what waits for clients that do not read their
// streams.  A connection is named by its peer (grpc::ServerContext::peer()).
//
// There is one for each io_context: Of() finds or makes it.
// Threads: any.
class UnreadAnswers {
 public:
  // How much may wait for one connection.
  static constexpr size_t kMaxBytes = size_t{16} << 20;
  // An answer of so many bytes or fewer is not counted, since counting costs
  // something, and the number of calls is bounded, too.
  static constexpr size_t kSmallBytes = 4096;

  static UnreadAnswers& Of(asio::io_context& loop);

  UnreadAnswers() = default;
  UnreadAnswers(const UnreadAnswers&) = delete;
  UnreadAnswers& operator=(const UnreadAnswers&) = delete;

  // Counts `bytes` more for `peer` and gives true.  Where they do not fit it
  // counts nothing and gives false.  What is too much by itself fits where
  // there is nothing else.
  bool TryAdd(const std::string& peer, size_t bytes);
  // Counts what cannot be refused any more, whether it fits or not.
  void Add(const std::string& peer, size_t bytes);
  // Stops counting `bytes` of `peer`.
  void Remove(const std::string& peer, size_t bytes);

  // Gives true where a further call need not even be tried: something did not
  // fit, or would not, and nothing was read since.  It costs nothing while no
  // client is full.
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

// Gives RESOURCE_EXHAUSTED / OVERLOADED, which says that too much is unread.
absl::Status TooMuchUnread();

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_UNREAD_ANSWERS_H_
