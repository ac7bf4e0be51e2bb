// Whether protobuf can carry a text.
#ifndef PORTREEVE_LISTENER_FILES_UTF8_H_
#define PORTREEVE_LISTENER_FILES_UTF8_H_

#include <string>

namespace portreeve {

// Whether protobuf can carry `text`: it is well-formed UTF-8.
bool IsUtf8(const std::string& text);

}  // namespace portreeve

#endif  // PORTREEVE_LISTENER_FILES_UTF8_H_
