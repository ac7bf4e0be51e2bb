// What may be wrong with a connection, in words.
#ifndef PORTREEVE_CLIENT_CLI_CONNECTION_HINTS_H_
#define PORTREEVE_CLIENT_CLI_CONNECTION_HINTS_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "portreeve/v1/connection.pb.h"
#include "portreeve/v1/listener.pb.h"

namespace portreeve::cli {

// Gives a sentence for each thing that an operator would want to be told of:
// what it waits for, that its peer does not read or has ended, that segments
// are lost, that nothing goes through it.  `listener` is the one that accepted
// it; null where that is not known any more, or was none.  The texts of the
// daemon in it are made printable.
std::vector<std::string> HintsOf(const v1::Connection& connection,
                                 const v1::Listener* listener, absl::Time now);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_CONNECTION_HINTS_H_
