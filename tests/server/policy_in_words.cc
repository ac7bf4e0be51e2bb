#include "tests/server/policy_in_words.h"

#include <gtest/gtest.h>

#include "lib/base/status.h"
#include "server/api/errors.h"

namespace portreeve::testing {

server::Policy ReadPolicy(const std::string& text) {
  auto policy = server::Policy::FromText(text, "policy");
  EXPECT_TRUE(policy.ok()) << policy.status();
  return policy.ok() ? *policy : server::Policy();
}

std::string Shown(const absl::Status& status) {
  if (status.ok()) return "OK";
  const std::string field = DetailOf(status).field;
  return server::ReasonOf(status) + (field.empty() ? "" : " ") + field;
}

}  // namespace portreeve::testing
