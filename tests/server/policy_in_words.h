// Policies by their text, and what they say in brief.
#ifndef PORTREEVE_TESTS_SERVER_POLICY_IN_WORDS_H_
#define PORTREEVE_TESTS_SERVER_POLICY_IN_WORDS_H_

#include <string>

#include "absl/status/status.h"
#include "server/access/policy.h"

namespace portreeve::testing {

// Fails the test where the text is wrong.
server::Policy ReadPolicy(const std::string& text);

// "OK", "REASON FIELD", or "REASON" where no field is wrong.
std::string Shown(const absl::Status& status);

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_SERVER_POLICY_IN_WORDS_H_
