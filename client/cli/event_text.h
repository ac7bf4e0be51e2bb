// How people see events.
#ifndef PORTREEVE_CLIENT_CLI_EVENT_TEXT_H_
#define PORTREEVE_CLIENT_CLI_EVENT_TEXT_H_

#include <string>

#include "portreeve/v1/event.pb.h"

namespace portreeve::cli {

// Gives one line without its end: revision, time, kind, the name of what the
// event is about ("-" if nothing), then KEY=VALUE details; separated by one
// blank.
std::string EventText(const v1::Event& event);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_EVENT_TEXT_H_
