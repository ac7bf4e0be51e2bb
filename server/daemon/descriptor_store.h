// DescriptorStore: the sockets of listeners in systemd's descriptor store
// (FileDescriptorStoreMax=), which outlives the process.
#ifndef PORTREEVE_SERVER_DAEMON_DESCRIPTOR_STORE_H_
#define PORTREEVE_SERVER_DAEMON_DESCRIPTOR_STORE_H_

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_set>

#include "absl/status/status.h"
#include "lib/base/descriptor.h"
#include "lib/base/time_source.h"
#include "server/daemon/notify.h"
#include "server/registry/socket_keeper.h"

namespace portreeve::server {

namespace asio = boost::asio;

// Keeps the socket of listeners/ID as "listener-ID", the name by which the next
// process takes it from LISTEN_FDS (server/daemon/inherited.h).
//
// What is released is removed there, and a barrier (sd_notify_barrier(3)) tells
// when that is done.  Where it cannot be sent, or is not answered in kMostWait,
// that is logged, and the listener is closed all the same: systemd has the
// socket then until the service ends.
//
// While systemd takes no more messages, as after a start with thousands of
// listeners, they wait, with copies of the sockets, each for kMostWait at most.
//
// Threads: loop thread only.
// Lifetime: `loop` and `notifier` must outlive it; what it waits for when it is
// destroyed is not told any more.
class DescriptorStore final : public SocketKeeper {
 public:
  static constexpr std::chrono::seconds kMostWait{5};
  // How long a message waits that could not be sent.
  static constexpr std::chrono::milliseconds kRetryAfter{10};

  DescriptorStore(asio::io_context& loop, Notifier& notifier);
  ~DescriptorStore() override;

  void Keep(const std::string& id, int socket) override;
  void Release(const std::string& id, std::function<void()> done) override;

  // Removes what the store has for `id`, and waits for nothing.
  void Discard(const std::string& id);

 private:
  class Barrier;
  // A message that waits, or is to be sent.
  struct Message {
    enum class Kind { kKeep, kRelease, kDiscard };
    Kind kind;
    std::string id;
    Descriptor socket;           // Of kKeep.
    std::function<void()> done;  // Of kRelease.
    TimePoint since;             // It waits.
  };

  // These two never throw.
  void Send(Message message);
  void SendWaiting();
  // Gives ABORTED where systemd takes no more now.
  absl::Status TrySend(const Message& message);
  void OnFailure(const Message& message, const absl::Status& status);

  asio::io_context& loop_;
  Notifier& notifier_;
  std::deque<Message> waiting_;
  Timer retry_;
  std::unordered_set<std::shared_ptr<Barrier>> barriers_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_DESCRIPTOR_STORE_H_
