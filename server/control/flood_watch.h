// FloodWatch: looks at the clients of the control plane that send, and ends
// those that ask for too much.
#ifndef PORTREEVE_SERVER_CONTROL_FLOOD_WATCH_H_
#define PORTREEVE_SERVER_CONTROL_FLOOD_WATCH_H_

#include <cstdint>
#include <unordered_set>

#include "lib/base/time_source.h"
#include "server/control/control_connection.h"
#include "server/control/control_memory.h"
#include "server/control/control_table.h"
#include "server/control/flood_policy.h"

namespace portreeve::server {

// It looks at each client every few milliseconds while that sends: FloodPolicy
// judges what the client asks for, and ControlMemory what the process takes.  A
// silent client costs nothing.
//
// Threads: the loop's.
// Lifetime: it must be closed by Close() before it is destroyed.
class FloodWatch {
 public:
  // One connection that gRPC has.
  class Client {
   public:
    // `connection` must outlive it.
    explicit Client(ControlConnection& connection) : connection_(connection) {}
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    ControlConnection& connection() const { return connection_; }

   protected:
    ~Client() = default;

   private:
    friend class FloodWatch;

    // Sets whether OnBytes() is called when bytes come.
    virtual void TellOfBytes(bool told) = 0;

    ControlConnection& connection_;
    FloodPolicy policy_;
    bool arrived_ = false;  // Something has come since the last look.
  };

  // `time`, `table` and `memory` must outlive it.
  FloodWatch(TimeSource& time, ControlTable& table, ControlMemory& memory);
  FloodWatch(const FloodWatch&) = delete;
  FloodWatch& operator=(const FloodWatch&) = delete;

  // Bytes have come from the client.
  void OnBytes(Client& client);
  // The client has ended, and is not looked at any more; the memory that it
  // leaves is.  It never throws.
  void OnEnded(Client& client);
  void Close();

 private:
  // Looks soon, and again as long as there is something to look at.  It never
  // throws.
  void GoOn();
  void Look();
  // Gives whether the client goes on sending.
  bool LookAt(Client& client, TimePoint now);
  void LookAtAll(TimePoint now);
  void LookAtMemory(TimePoint now);
  void NoteShutdowns(TimePoint now);
  void Trim(TimePoint now);

  TimeSource& time_;
  ControlTable& table_;
  ControlMemory& memory_;
  std::unordered_set<Client*> active_;  // Those that send.
  Timer timer_;
  TimePoint next_look_{};  // While the timer is armed.
  // Since when, and when last, the bytes of all were too many.
  TimePoint too_many_since_{};
  TimePoint too_many_at_{};
  int64_t num_shut_down_ = 0;  // The table's count at the last look.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CONTROL_FLOOD_WATCH_H_
