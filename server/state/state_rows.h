// What the database holds, and the changes of it: keys, and records in whatever
// encoding.
#ifndef PORTREEVE_SERVER_STATE_STATE_ROWS_H_
#define PORTREEVE_SERVER_STATE_STATE_ROWS_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace portreeve::server {

struct ListenerRow {
  std::string id;
  std::string record;

  friend bool operator==(const ListenerRow&, const ListenerRow&) = default;
};

struct RequestRow {
  int64_t seq = 0;         // Numbers them in the order of their age.
  std::string request_id;  // Not unique: it is one client's own.
  std::string record;

  friend bool operator==(const RequestRow&, const RequestRow&) = default;
};

struct StateRows {
  std::vector<ListenerRow> listeners;  // By id.
  std::vector<RequestRow> requests;    // The oldest first.

  friend bool operator==(const StateRows&, const StateRows&) = default;
};

// What a database holds.
struct StateContents {
  std::string daemon_id;   // A UUID, given when the database was made.
  std::string written_by;  // The version that has written to it last.
  bool clean = false;      // The last run has ended as it should.
  StateRows rows;
};

// One change.  A row that is there already is replaced by another one with its
// key; to erase one that is not there has no effect.
struct EraseListener {
  std::string id;
};
struct EraseRequest {
  int64_t seq = 0;
};
using StateChange =
    std::variant<ListenerRow, EraseListener, RequestRow, EraseRequest>;

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_STATE_STATE_ROWS_H_
