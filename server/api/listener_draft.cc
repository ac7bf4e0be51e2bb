#include "server/api/listener_draft.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <openssl/sha.h>

#include <array>
#include <utility>

#include "lib/base/status.h"
#include "server/api/errors.h"
#include "server/api/names.h"
#include "server/api/spec.h"

namespace portreeve::server {
namespace {

// Gives what is equal for equal requests only: maps are sorted, and fields that
// this version does not know, which have no effect, are left out.
std::string FingerprintOf(v1::CreateListenerRequest request) {
  request.clear_request_id();
  request.clear_validate_only();
  request.DiscardUnknownFields();
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream out(&stream);
  out.SetSerializationDeterministic(true);
  request.SerializeToCodedStream(&out);
  out.Trim();
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
         digest.data());
  return std::string(digest.begin(), digest.end());
}

// `wanted` is the spec of `request`, with the labels that it shall have.
absl::StatusOr<ListenerDraft> Check(const v1::CreateListenerRequest& request,
                                    v1::ListenerSpec wanted) {
  if (!request.listener_id().empty() && !IsListenerId(request.listener_id())) {
    return InvalidField("listener_id",
                        "must match [a-z]([a-z0-9-]{0,61}[a-z0-9])?");
  }
  ListenerDraft draft;
  draft.listener_id = request.listener_id();
  if (!request.request_id().empty()) {
    if (auto s = CheckRequestId(request.request_id()); !s.ok()) return s;
    draft.request_id = request.request_id();
    draft.fingerprint = FingerprintOf(request);
  }
  DropUnknownFields(wanted);
  auto spec = CheckAndFill(std::move(wanted));
  if (!spec.ok()) return WithFieldPrefix(spec.status(), "spec");
  draft.spec = *std::move(spec);
  draft.validate_only = request.validate_only();
  return draft;
}

}  // namespace

absl::StatusOr<ListenerDraft> CheckCreate(
    const v1::CreateListenerRequest& request) {
  v1::ListenerSpec wanted = request.spec();
  if (auto s = KeepFileLabel(v1::ListenerSpec(), wanted); !s.ok()) {
    return WithFieldPrefix(s, "spec");
  }
  return Check(request, std::move(wanted));
}

absl::StatusOr<ListenerDraft> CheckCreateOfFile(
    const v1::CreateListenerRequest& request, const std::string& file) {
  v1::ListenerSpec wanted = request.spec();
  (*wanted.mutable_labels())[kFileLabel] = file;
  auto draft = Check(request, std::move(wanted));
  if (draft.ok()) draft->source = v1::LISTENER_SOURCE_FLAG;
  return draft;
}

}  // namespace portreeve::server
