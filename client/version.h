#ifndef PORTREEVE_CLIENT_VERSION_H_
#define PORTREEVE_CLIENT_VERSION_H_

namespace portreeve::client {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_VERSION_H_
