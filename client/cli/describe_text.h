// What `portreeve describe` prints.
#ifndef PORTREEVE_CLIENT_CLI_DESCRIBE_TEXT_H_
#define PORTREEVE_CLIENT_CLI_DESCRIBE_TEXT_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "portreeve/v1/connection.pb.h"
#include "portreeve/v1/event.pb.h"
#include "portreeve/v1/listener.pb.h"

namespace portreeve::cli {

// Gives what may be wrong, what the listener is and what it has been told to
// be, with a word where that is what it would be anyway, and `events`, the
// newest about it, in their order.
std::string DescribeListener(const v1::Listener& listener,
                             const std::vector<v1::Event>& events,
                             absl::Time now);

// Does the same for a connection, with what the kernel knows of its socket.
// `listener` is the one that accepted it; null where that is not known any
// more, or was none.
std::string DescribeConnection(const v1::Connection& connection,
                               const v1::Listener* listener,
                               const std::vector<v1::Event>& events,
                               absl::Time now);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_DESCRIBE_TEXT_H_
