// What is done to the spec of a listener before it is checked
// (server/api/checked_spec.h), and which of its fields an update changes.
#ifndef PORTREEVE_SERVER_API_SPEC_H_
#define PORTREEVE_SERVER_API_SPEC_H_

#include <google/protobuf/field_mask.pb.h>

#include "absl/status/status.h"
#include "portreeve/v1/listener.pb.h"

namespace portreeve::server {

// Does what spec.DiscardUnknownFields() does, without walking every field by
// reflection and allocating for each message, also where there is nothing to
// discard.
void DropUnknownFields(v1::ListenerSpec& spec);

// The label of listeners that come from a file of the daemon's (`--listeners`):
// the file's name.  Only the daemon sets it.
inline constexpr char kFileLabel[] = "portreeve.file";

// Gives `wanted`, which a client has said, the label kFileLabel that `current`
// has.
// Errors: INVALID_FIELD for `labels` where the client says another one.
absl::Status KeepFileLabel(const v1::ListenerSpec& current,
                           v1::ListenerSpec& wanted);

// Whether `mask` is "*": all of the spec.
bool ReplacesAll(const google::protobuf::FieldMask& mask);

// Checks that `mask` is "*", or names fields of `spec`, one or more: paths like
// "spec.max_connections" and, within messages, "spec.handler.forward".
// Errors: INVALID_FIELD for `update_mask`.
absl::Status CheckUpdateMask(const google::protobuf::FieldMask& mask);

// Makes FAILED_PRECONDITION / IMMUTABLE_FIELD about `where_to_listen`.
absl::Status ImmutableField();

// Gives that error where `mask`, which is checked, names something in
// `where_to_listen`.  "*" does not name it: then it must be the present one.
absl::Status CheckMutable(const google::protobuf::FieldMask& mask);

// Gives `current` with the fields in `mask`, which is checked, as `wanted` has
// them: one that is unset there is unset in the result.
v1::ListenerSpec Merge(const v1::ListenerSpec& current,
                       const v1::ListenerSpec& wanted,
                       const google::protobuf::FieldMask& mask);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_API_SPEC_H_
