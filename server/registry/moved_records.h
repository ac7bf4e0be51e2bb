// What a process hands over of connections that move, from and to the messages
// of portreeve/internal/v1/handover.proto.
#ifndef PORTREEVE_SERVER_REGISTRY_MOVED_RECORDS_H_
#define PORTREEVE_SERVER_REGISTRY_MOVED_RECORDS_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "lib/net/address.h"
#include "lib/serve/stream_connection.h"
#include "portreeve/internal/v1/handover.pb.h"
#include "server/handlers/frozen_connection.h"

namespace portreeve::server {

// How many bytes of copies a connection may hold that moves: with all else they
// go into one message.
inline constexpr size_t kMostMovedBytes = size_t{48} * 1024;

// Puts what is known of the connection's handler into the record, whose
// `connection` is set by others.  Gives false, and leaves it as it is, where it
// holds more than kMostMovedBytes.
bool PutMoved(const FrozenConnection& frozen,
              internal::v1::HandoverConnection& record);

// Gives what PutMoved() was given; the id and both addresses are those of
// `record.connection`, which the caller has read already.
// Errors: HANDOVER_DAMAGED.
absl::StatusOr<FrozenConnection> MovedOf(
    const internal::v1::HandoverConnection& record, int64_t id, AnyAddress peer,
    AnyAddress local);

// Gives what the next process needs of a connection of a client's; its bytes to
// write come apart from it.
internal::v1::HandoverMovedOn MovedOnOf(int64_t id, const FrozenStream& frozen);
// Gives what MovedOnOf() was given.
FrozenStream StreamOf(const internal::v1::HandoverMovedOn& record,
                      std::string to_write);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_MOVED_RECORDS_H_
