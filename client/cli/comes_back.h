// What a client cannot take away for good.
#ifndef PORTREEVE_CLIENT_CLI_COMES_BACK_H_
#define PORTREEVE_CLIENT_CLI_COMES_BACK_H_

#include <string>

#include "portreeve/v1/listener.pb.h"

namespace portreeve::cli {

// Gives what to say of `listener` once it is closed or deleted: that a file of
// the daemon's brings it back at the next start; "" where none does.
std::string ComesBackText(const v1::Listener& listener);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_COMES_BACK_H_
