// What `apply` and `diff` have to do, decided without a daemon.
#ifndef PORTREEVE_CLIENT_CLI_APPLY_PLAN_H_
#define PORTREEVE_CLIENT_CLI_APPLY_PLAN_H_

#include <map>
#include <string>
#include <vector>

#include "listener_files/listener_file.h"
#include "portreeve/v1/listener.pb.h"

namespace portreeve::cli {

struct Step {
  enum class Kind {
    kPrune,    // It is open, and shall not be.
    kForget,   // It is closed, and shall not be.
    kCreate,   // It shall be, and is not.
    kReplace,  // It shall be, but is closed: its name must be set free first.
    kUpdate,   // It is open, and shall be what the file says.
  };

  Kind kind;
  // Null for kPrune and kForget.
  const WantedListener* wanted;
  // Null for kCreate.
  const v1::Listener* present;

  const std::string& name() const {
    return wanted != nullptr ? wanted->listener.name() : present->name();
  }
};

// Labels that all must be there; empty for none to be removed.
using Selector = std::map<std::string, std::string>;

// Gives the steps from `present`, all listeners of a daemon, to `wanted`, in
// the order in which they are to be taken: first what goes, in the order of
// `present`, since it may have an address that is wanted; then `wanted`, in
// its order.  What is in `wanted` never goes.
// Lifetime: the steps point into both.
std::vector<Step> Plan(const std::vector<WantedListener>& wanted,
                       const std::vector<v1::Listener>& present,
                       const Selector& selector);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_APPLY_PLAN_H_
