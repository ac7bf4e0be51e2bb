// ListenerDraft: a CreateListenerRequest that was checked.
#ifndef PORTREEVE_SERVER_API_LISTENER_DRAFT_H_
#define PORTREEVE_SERVER_API_LISTENER_DRAFT_H_

#include <string>

#include "absl/status/statusor.h"
#include "portreeve/v1/listener.pb.h"
#include "server/api/checked_spec.h"

namespace portreeve::server {

struct ListenerDraft {
  std::string listener_id;  // Empty: the daemon chooses.
  SharedSpec spec;          // Never null.
  std::string caller;       // Caller::identity of server/access/gate.h.
  std::string request_id;   // That caller's; empty: none.
  // The SHA-256 of what a request with the same request_id has to have in
  // common with this one: everything but that id and validate_only.  Empty
  // without one.
  std::string fingerprint;
  bool validate_only = false;
  v1::ListenerSource source = v1::LISTENER_SOURCE_CLIENT;
};

// Checks all that can be checked without looking at what there is.
// Threads: any.
// Errors: INVALID_FIELD, with the path from the request.
absl::StatusOr<ListenerDraft> CheckCreate(
    const v1::CreateListenerRequest& request);

// Does the same for a listener that is in the daemon's file named `file`, which
// must be UTF-8: it has that as its label kFileLabel (server/api/spec.h), also
// where the request says another one, and is never kept.
absl::StatusOr<ListenerDraft> CheckCreateOfFile(
    const v1::CreateListenerRequest& request, const std::string& file);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_API_LISTENER_DRAFT_H_
