// The rows that are written with each change, encoded without a message in
// between.
#ifndef PORTREEVE_SERVER_REGISTRY_LISTENER_ROW_H_
#define PORTREEVE_SERVER_REGISTRY_LISTENER_ROW_H_

#include <cstdint>
#include <string>

#include "server/events/listener_record.h"
#include "server/registry/request_cache.h"
#include "server/state/state_records.h"

namespace portreeve::server {

// Gives what Keep() and then SerializeAsString() give of the same listener and
// an empty record.
std::string EncodeRow(const ListenerRecord& record, int64_t close_number,
                      StateListener::Source source);

// Gives the record of a StateRequest.
std::string EncodeRow(const RequestKey& key, const RequestCache::Entry& entry);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_LISTENER_ROW_H_
