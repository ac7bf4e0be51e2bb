// Handshakes: the clients of the control plane that have not shown yet what
// they want, as the first call does.  It has no sockets, no clock and no
// threads.
#ifndef PORTREEVE_SERVER_CONTROL_HANDSHAKES_H_
#define PORTREEVE_SERVER_CONTROL_HANDSHAKES_H_

#include <cstddef>
#include <functional>
#include <list>
#include <optional>
#include <utility>

#include "lib/base/time_source.h"

namespace portreeve::server {

// Bounds how many such clients there are at a time, and for how long each may
// be one.  Where there is one too many, the oldest gives way: a newcomer needs
// a moment only, and those who hold places for long must not keep it out.
template <typename Client>
class Handshakes {
 public:
  // Whether a client has shown what it wants, or is gone.
  using IsOver = std::function<bool(const Client&)>;

  Handshakes(size_t most, Duration time, IsOver is_over)
      : most_(most), time_(time), is_over_(std::move(is_over)) {}

  // Adds `client`.  Gives the one that has to go for it, if any.
  std::optional<Client> Enter(Client client, TimePoint now) {
    ForgetThoseOver();
    entries_.push_back({std::move(client), After(now, time_)});
    if (entries_.size() <= most_) return std::nullopt;
    Client oldest = std::move(entries_.front().client);
    entries_.pop_front();
    return oldest;
  }

  // Gives the client that has to go where the last place is taken that the
  // control plane has for clients of any kind: the oldest, unless it has come
  // just now.
  std::optional<Client> GiveWay() {
    ForgetThoseOver();
    if (entries_.size() < 2) return std::nullopt;
    Client oldest = std::move(entries_.front().client);
    entries_.pop_front();
    return oldest;
  }

  // Gives a client whose time is up, and forgets it.  It must be called until
  // there is none.
  std::optional<Client> Expire(TimePoint now) {
    while (!entries_.empty() && entries_.front().end <= now) {
      Client client = std::move(entries_.front().client);
      entries_.pop_front();
      if (!is_over_(client)) return client;
    }
    return std::nullopt;
  }

  // Gives when Expire() may give the next one.
  std::optional<TimePoint> next() {
    ForgetThoseOver();
    if (entries_.empty()) return std::nullopt;
    return entries_.front().end;
  }

 private:
  struct Entry {
    Client client;
    TimePoint end;
  };

  void ForgetThoseOver() {
    entries_.remove_if(
        [this](const Entry& entry) { return is_over_(entry.client); });
  }

  const size_t most_;
  const Duration time_;
  const IsOver is_over_;
  std::list<Entry> entries_;  // The oldest is the first.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CONTROL_HANDSHAKES_H_
