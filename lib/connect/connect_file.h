// ConnectToFile: ConnectSock for a unix socket, which makes attempts until the
// backlog has room.
#ifndef PORTREEVE_LIB_CONNECT_CONNECT_FILE_H_
#define PORTREEVE_LIB_CONNECT_CONNECT_FILE_H_

#include <optional>

#include "lib/base/asio.h"
#include "lib/connect/connect.h"
#include "lib/net/given_socket.h"
#include "lib/net/socket.h"
#include "lib/net/where.h"

namespace portreeve {

// Does what ConnectSock does; `where` and `options` must be valid.
Task<Socket<Unix>> ConnectToFile(WhereToConnect<Unix> where,
                                 ConnectOptions options,
                                 std::optional<GivenSocket> given);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_CONNECT_CONNECT_FILE_H_
