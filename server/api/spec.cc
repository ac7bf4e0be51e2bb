#include "server/api/spec.h"

#include <google/protobuf/util/field_mask_util.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status.h"
#include "server/api/errors.h"

namespace portreeve::server {
namespace {

using google::protobuf::FieldMask;
using google::protobuf::util::FieldMaskUtil;

constexpr char kImmutable[] = "spec.where_to_listen";

template <typename... Messages>
bool AnyHasUnknownFields(const Messages&... messages) {
  return (... || !messages.GetReflection()->GetUnknownFields(messages).empty());
}

bool HasUnknownFields(const v1::WhereToListen& where) {
  return AnyHasUnknownFields(where, where.inet(), where.unix_socket());
}

bool HasUnknownFields(const v1::WhereToConnect& where) {
  return AnyHasUnknownFields(where, where.inet(), where.unix_socket());
}

bool HasUnknownFields(const v1::Handler& handler) {
  return AnyHasUnknownFields(
             handler, handler.echo(), handler.discard(), handler.forward(),
             handler.forward().connect_timeout(), handler.remote(),
             handler.remote().claim_timeout()) ||
         HasUnknownFields(handler.forward().upstream());
}

bool HasUnknownFields(const v1::BufferAgeLimit& limit) {
  return AnyHasUnknownFields(limit, limit.at_most(), limit.unlimited());
}

bool HasUnknownFields(const v1::AccessLog& log) {
  return AnyHasUnknownFields(log, log.every());
}

bool IsWithin(absl::string_view path, absl::string_view field) {
  return path == field || absl::StartsWith(path, absl::StrCat(field, "."));
}

}  // namespace

void DropUnknownFields(v1::ListenerSpec& spec) {
  if (AnyHasUnknownFields(spec) || HasUnknownFields(spec.where_to_listen()) ||
      HasUnknownFields(spec.handler()) ||
      HasUnknownFields(spec.buffer_age_limit()) ||
      HasUnknownFields(spec.access_log())) {
    spec.DiscardUnknownFields();
  }
}

absl::Status KeepFileLabel(const v1::ListenerSpec& current,
                           v1::ListenerSpec& wanted) {
  const auto own = current.labels().find(kFileLabel);
  const auto said = wanted.labels().find(kFileLabel);
  const bool has_own = own != current.labels().end();
  if (said != wanted.labels().end() &&
      (!has_own || said->second != own->second)) {
    return InvalidField("labels",
                        absl::StrCat("only the daemon sets ", kFileLabel));
  }
  if (has_own) (*wanted.mutable_labels())[kFileLabel] = own->second;
  return absl::OkStatus();
}

bool ReplacesAll(const FieldMask& mask) {
  return mask.paths_size() == 1 && mask.paths(0) == "*";
}

absl::Status CheckUpdateMask(const FieldMask& mask) {
  if (ReplacesAll(mask)) return absl::OkStatus();
  if (mask.paths().empty()) {
    return InvalidField("update_mask", "must name a field");
  }
  for (const std::string& path : mask.paths()) {
    // IsValidPath() skips empty parts.
    const bool has_empty_part =
        absl::StrContains(path, "..") || absl::EndsWith(path, ".");
    if (!absl::StartsWith(path, "spec.") || has_empty_part ||
        !FieldMaskUtil::IsValidPath<v1::Listener>(path)) {
      return InvalidField("update_mask",
                          "every path must be a field of `spec`, like "
                          "`spec.max_connections`, or the only one `*`");
    }
  }
  return absl::OkStatus();
}

absl::Status ImmutableField() {
  return ServerError(absl::StatusCode::kFailedPrecondition, "IMMUTABLE_FIELD",
                     absl::StrCat(kImmutable, " cannot be changed"));
}

absl::Status CheckMutable(const FieldMask& mask) {
  for (const std::string& path : mask.paths()) {
    if (IsWithin(path, kImmutable)) return ImmutableField();
  }
  return absl::OkStatus();
}

v1::ListenerSpec Merge(const v1::ListenerSpec& current,
                       const v1::ListenerSpec& wanted, const FieldMask& mask) {
  if (ReplacesAll(mask)) return wanted;
  v1::Listener source;
  *source.mutable_spec() = wanted;
  v1::Listener result;
  *result.mutable_spec() = current;
  FieldMaskUtil::MergeOptions options;
  options.set_replace_message_fields(true);
  options.set_replace_repeated_fields(true);
  FieldMaskUtil::MergeMessageTo(source, mask, options, &result);
  return result.spec();
}

}  // namespace portreeve::server
