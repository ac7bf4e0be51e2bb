// What may be wrong with a listener, in words.
#ifndef PORTREEVE_CLIENT_CLI_LISTENER_HINTS_H_
#define PORTREEVE_CLIENT_CLI_LISTENER_HINTS_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "portreeve/v1/event.pb.h"
#include "portreeve/v1/listener.pb.h"

namespace portreeve::cli {

// Gives a sentence for each thing that an operator would want to be told of:
// why it is not open, that it can take no more, that nobody serves it, what the
// kernel has cut, and why connections end other than they should.  `events` are
// the newest about it, in their order.  The texts of the daemon in it are made
// printable.
std::vector<std::string> HintsOf(const v1::Listener& listener,
                                 const std::vector<v1::Event>& events,
                                 absl::Time now);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_LISTENER_HINTS_H_
