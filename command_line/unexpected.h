// What is said of a command line with words that nobody expected.
#ifndef PORTREEVE_COMMAND_LINE_UNEXPECTED_H_
#define PORTREEVE_COMMAND_LINE_UNEXPECTED_H_

#include <string>

namespace CLI {
class App;
}  // namespace CLI

namespace portreeve {

// Gives what is wrong where `app`, whose parsing has failed, was given words
// that it does not know, in their order (CLI11 itself tells them backwards),
// and what may have been meant: "there is no flag --lisen; did you mean
// --listen?". A flag comes first, since what follows it may be its value. Gives
// "" where it knows all words.
std::string UnexpectedText(const CLI::App& app);

}  // namespace portreeve

#endif  // PORTREEVE_COMMAND_LINE_UNEXPECTED_H_
