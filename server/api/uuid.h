// UUIDs.
#ifndef PORTREEVE_SERVER_API_UUID_H_
#define PORTREEVE_SERVER_API_UUID_H_

#include <string>

namespace portreeve::server {

// Makes a random UUID (RFC 4122, version 4), such as
// "0b64ddd6-2d4e-4d0c-9f5b-6d1d7f1c7a53".
// Threads: any.
std::string NewUuid();

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_API_UUID_H_
