// The golden texts: a whole hand-over, message by message, as a version of the
// protocol has it.  What a version has written, every later one accepts.
#ifndef PORTREEVE_TESTS_SERVER_HANDOVER_GOLDEN_H_
#define PORTREEVE_TESTS_SERVER_HANDOVER_GOLDEN_H_

#include <string>
#include <vector>

#include "portreeve/internal/v1/handover.pb.h"

namespace portreeve::server {

struct GoldenMessage {
  bool is_from_successor = false;
  internal::v1::Handover message;
};

// Gives one of each kind and more, with every field set that there is: first a
// hand-over that succeeds, with the time after it, then what is said only where
// one fails.
std::vector<GoldenMessage> MakeGolden();

// The bytes of the file in `events`.
std::string GoldenEventBytes();

// As text, and from it.
std::string GoldenText(const std::vector<GoldenMessage>& messages);
std::vector<GoldenMessage> ParseGolden(const std::string& text);

}  // namespace portreeve::server

#endif  // PORTREEVE_TESTS_SERVER_HANDOVER_GOLDEN_H_
