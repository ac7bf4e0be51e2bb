// What the CLI says of a connection that has closed.
#ifndef PORTREEVE_CLIENT_CLI_CLOSE_REASON_H_
#define PORTREEVE_CLIENT_CLI_CLOSE_REASON_H_

#include <string>

#include "portreeve/v1/connection.pb.h"

namespace portreeve::cli {

// Whether nothing is lost of what both ends sent, since both closed by FIN.
bool ClosedInOrder(v1::CloseReason reason);

// Gives "PEER_RESET: the other end has reset the connection".
std::string CloseReasonText(v1::CloseReason reason);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_CLOSE_REASON_H_
