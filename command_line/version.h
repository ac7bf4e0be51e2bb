// The version of both programs.
#ifndef PORTREEVE_COMMAND_LINE_VERSION_H_
#define PORTREEVE_COMMAND_LINE_VERSION_H_

namespace portreeve {

// That of version.bzl, like "0.1.0".
extern const char kVersion[];

}  // namespace portreeve

#endif  // PORTREEVE_COMMAND_LINE_VERSION_H_
