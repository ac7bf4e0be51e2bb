// HappyEyeballs: which address of a name to try, and when (RFC 8305).
#ifndef PORTREEVE_LIB_CONNECT_HAPPY_EYEBALLS_H_
#define PORTREEVE_LIB_CONNECT_HAPPY_EYEBALLS_H_

#include <boost/asio/ip/address.hpp>
#include <deque>
#include <optional>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/time_source.h"
#include "lib/connect/resolver.h"

namespace portreeve {

// The decisions of one connection attempt to a name.  It has no socket, no
// clock and no thread: whoever owns it tells it what happened and does what
// the answer says, until that is to give up, or a connection is made.
//
// The families take turns, IPv6 first; within one, the resolver's order is
// kept.  An address is tried once, however often it arrives.
class HappyEyeballs {
 public:
  using Family = Resolver::Family;

  // How long IPv4 addresses wait for the IPv6 lookup (RFC 8305, section 3).
  static constexpr Duration kResolutionDelay = std::chrono::milliseconds(50);
  // How long an attempt has before the next one joins it (section 5).
  static constexpr Duration kAttemptDelay = std::chrono::milliseconds(250);

  // What to do now, in this order.  An empty Step says to wait.
  struct Step {
    // Begin an attempt to connect to this address.
    std::optional<asio::ip::address> start;
    // Set the one timer anew, and call OnTimer() when it fires.
    std::optional<Duration> timer;
    // Fail with error(), since nothing is left to hope for.
    bool give_up = false;
  };

  // Waits for the lookups of these families.
  explicit HappyEyeballs(std::set<Family> families);

  // The lookup of `family` gave these addresses, perhaps none.  They need not
  // be of this family.
  Step OnLookupDone(Family family,
                    const std::vector<asio::ip::address>& addresses);
  Step OnLookupFailed(Family family, absl::Status error);

  // An attempt that was begun failed.
  Step OnAttemptFailed(absl::Status error);

  Step OnTimer();

  // An attempt was given up, without an error, to make room for another.
  void OnAttemptDropped();

  // An address that the lookups gave was left out before it came here.
  void NoteRefused(absl::Status error) { refusal_ = std::move(error); }

  // Gives why to give up: the error of the attempt that failed last; if there
  // was none, that of the address that was refused last; if there was none,
  // that of the lookup that failed last.  It is OK if there was simply no
  // address.
  const absl::Status& error() const;

 private:
  // What keeps the next address from being tried at once.
  enum class Delay { kNone, kResolution, kAttempt };

  Step Next();
  std::optional<asio::ip::address> TakeNextAddress();
  bool has_queued() const { return !v4_.empty() || !v6_.empty(); }

  std::set<Family> lookups_;  // Not finished.
  std::set<asio::ip::address> seen_;
  std::deque<asio::ip::address> v4_, v6_;  // Not tried yet.
  bool v6_is_next_ = true;
  bool may_wait_for_v6_ = true;  // Until the first attempt.
  int num_running_ = 0;
  Delay delay_ = Delay::kNone;
  absl::Status attempt_error_, refusal_, lookup_error_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_CONNECT_HAPPY_EYEBALLS_H_
