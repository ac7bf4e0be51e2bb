// What somebody may have meant by a word that is none.
#ifndef PORTREEVE_COMMAND_LINE_NEAREST_H_
#define PORTREEVE_COMMAND_LINE_NEAREST_H_

#include <cstddef>
#include <string>
#include <vector>

namespace portreeve {

// How many letters have to be put in, left out, replaced or swapped with their
// neighbour to make `b` of `a`; what was swapped once stays (the distance of
// "optimal string alignment").  In bytes.
size_t EditDistance(const std::string& a, const std::string& b);

// Gives the word that is nearest to `word`, the first of several, if it is so
// near that it may have been meant: one mistake, and one more for every four
// letters beyond the fourth.  Else gives "".
std::string Nearest(const std::string& word,
                    const std::vector<std::string>& words);

}  // namespace portreeve

#endif  // PORTREEVE_COMMAND_LINE_NEAREST_H_
