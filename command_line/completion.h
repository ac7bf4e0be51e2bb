// What a shell can complete, made of what --help is made of.
#ifndef PORTREEVE_COMMAND_LINE_COMPLETION_H_
#define PORTREEVE_COMMAND_LINE_COMPLETION_H_

#include <map>
#include <string>
#include <vector>

namespace CLI {
class App;
}  // namespace CLI

namespace portreeve {

// Gives the command line of `app` as variables of bash, PROGRAM being its name:
//
//   _PROGRAM_verbs      the verbs
//   _PROGRAM_flags      by verb: its flags; under `.` those of every verb
//   _PROGRAM_values     by verb and flag, "close --existing": what its value
//                       is, such as FILE or leave|close|reset; flags without
//                       one are not there
//   _PROGRAM_arguments  by verb: what its arguments are, in their order
//
// `values` has the values of types that --help does not spell out.
std::string CompletionTables(
    const CLI::App& app,
    const std::map<std::string, std::vector<std::string>>& values);

}  // namespace portreeve

#endif  // PORTREEVE_COMMAND_LINE_COMPLETION_H_
