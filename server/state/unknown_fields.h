// What a newer version has put into a message, when the message is replaced.
#ifndef PORTREEVE_SERVER_STATE_UNKNOWN_FIELDS_H_
#define PORTREEVE_SERVER_STATE_UNKNOWN_FIELDS_H_

#include <google/protobuf/message.h>

namespace portreeve::server {

// Adds to `to` the fields of `from` that this version does not know; and so for
// each message in it that is set in both and stands neither in a list nor in a
// map, where nobody could say which one it is.  A message of `to` that has such
// fields already keeps its own.  Both are of the same type.
void CarryUnknownFields(const google::protobuf::Message& from,
                        google::protobuf::Message& to);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_STATE_UNKNOWN_FIELDS_H_
