// ReloadPolicy: reads --policy again while the daemon runs.
#ifndef PORTREEVE_SERVER_REGISTRY_POLICY_RELOAD_H_
#define PORTREEVE_SERVER_REGISTRY_POLICY_RELOAD_H_

#include <string>

#include "absl/status/status.h"
#include "lib/base/loop.h"
#include "server/access/live_policy.h"
#include "server/registry/registry.h"

namespace portreeve::server {

// Makes the file at `path`, a regular one, the policy.  It answers what is
// asked from then on: by creates, updates, calls, and connects of listeners
// that are open, too.  Those listeners stay open; one line of the log names the
// ones that could not be opened now.  On an error the policy of before stays,
// and the log says so.
//
// It blocks.
// Threads: any but that of `loop`, to which `registry` belongs.
absl::Status ReloadPolicy(const std::string& path, LivePolicy& policy,
                          Loop& loop, const Registry& registry);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_POLICY_RELOAD_H_
