// The records of the state: messages of portreeve/internal/v1/state.proto, from
// and to those of the contract, and as rows.
#ifndef PORTREEVE_SERVER_STATE_STATE_RECORDS_H_
#define PORTREEVE_SERVER_STATE_STATE_RECORDS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "portreeve/internal/v1/state.pb.h"
#include "portreeve/v1/listener.pb.h"
#include "server/state/state_rows.h"

namespace portreeve::server {

using StateListener = internal::v1::StateListener;
using StateRequest = internal::v1::StateRequest;

// Puts into `record` what is kept of `listener`, with its name, uid, spec and
// status as clients are shown them; what a newer version has put there stays.
// One that the end of the daemon has closed is to be opened again, and so kept
// as open.  `close_number` is its place in the order of all closes; 0 while it
// is open.
void Keep(const v1::Listener& listener, int64_t close_number,
          StateListener& record);

// Gives a closed listener as clients were shown it when it was kept.  Its
// connections have ended with the process, so that its handlers are determined.
v1::Listener ClosedListener(absl::string_view id, const StateListener& record);

ListenerRow RowOf(const std::string& id, const StateListener& record);
RequestRow RowOf(int64_t seq, const StateRequest& record);

// Errors: STATE_DAMAGED for what no version has written: the row has checked,
// and so it is a fault of the program that wrote it.
absl::StatusOr<StateListener> ParseRow(const ListenerRow& row);
absl::StatusOr<StateRequest> ParseRow(const RequestRow& row);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_STATE_STATE_RECORDS_H_
