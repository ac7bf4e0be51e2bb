#include "command_line/version.h"

namespace portreeve {

const char kVersion[] = PORTREEVE_VERSION;

}  // namespace portreeve
