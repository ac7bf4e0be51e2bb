// ServiceMessages: what the daemon tells its service manager, in the words of
// sd_notify(3).
#ifndef PORTREEVE_SERVER_DAEMON_SERVICE_MESSAGES_H_
#define PORTREEVE_SERVER_DAEMON_SERVICE_MESSAGES_H_

#include <cstdint>
#include <string>

#include "lib/base/time_source.h"

namespace portreeve::server {

// Each method gives the message to send; "" where there is nothing to say.
// `status` is one line for people.
class ServiceMessages {
 public:
  std::string Ready(const std::string& status);

  // The begin and the end of a reload; several may overlap, and the last end is
  // the one that is told.  `now` is CLOCK_MONOTONIC.
  std::string Reloading(Duration now);
  std::string Reloaded(const std::string& status);

  // The daemon works, and may have a new status to tell.
  std::string Alive(const std::string& status);

  // The end has begun, and takes `most`; after that nothing is told.
  std::string Stopping(const std::string& status, Duration most);

  // The manager is to keep a descriptor under `name`, whatever becomes of it,
  // and to forget all of that name; and to close a descriptor once it has done
  // all that it was told before.
  static std::string Store(const std::string& name);
  static std::string Remove(const std::string& name);
  static std::string Barrier();

 private:
  enum class State { kStarting, kRunning, kStopping };

  std::string WithStatus(const char* message, const std::string& status);

  State state_ = State::kStarting;
  int num_reloads_ = 0;
  std::string status_;  // The last one that was told.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_SERVICE_MESSAGES_H_
