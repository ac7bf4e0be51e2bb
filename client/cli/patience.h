// Patience: how long a command that takes no more input is waited for.
#ifndef PORTREEVE_CLIENT_CLI_PATIENCE_H_
#define PORTREEVE_CLIENT_CLI_PATIENCE_H_

#include <optional>

#include "absl/time/time.h"

namespace portreeve::cli {

// What tells the end of a connection comes behind its bytes.  While a command
// does not take those, nobody gets to read it, so now and then the daemon has
// to be asked whether the connection is still there.  From the first of answers
// on that all say it is not, the command has a grace to take the rest.
//
// It decides; the caller waits and asks.
class Patience {
 public:
  explicit Patience(absl::Duration grace);

  enum class Step {
    kWait,    // For the command, until next().
    kAsk,     // Whether the connection is there; then OnAnswer().
    kGiveUp,  // The grace is over.
  };
  // The command takes nothing.
  Step OnBlocked(absl::Time now);

  // `is_there`: the daemon has not said that the connection is over, and can be
  // reached.
  void OnAnswer(absl::Time now, bool is_there);

  // When OnBlocked() that gave kWait is due again.
  absl::Time next() const;

  // Whether OnBlocked() has given kGiveUp.
  bool has_given_up() const { return has_given_up_; }

 private:
  const absl::Duration grace_;
  std::optional<absl::Time> next_ask_;  // Nothing before the first wait.
  std::optional<absl::Time> end_;       // Of the grace, once it has begun.
  bool has_given_up_ = false;
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_PATIENCE_H_
