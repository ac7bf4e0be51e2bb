#include "client/cli/session.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/cli/printable.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/type_resolver.h"
#include "google/protobuf/util/type_resolver_util.h"

namespace portreeve::cli {
namespace {

constexpr absl::Duration kOrdinaryTimeout = absl::Seconds(30);

constexpr char kTypeUrl[] = "type.googleapis.com";

// Serializes `message` with its maps (labels, counts by reason) in the order of
// their keys, which otherwise is another one at each start.
std::string SortedBytes(const google::protobuf::Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializePartialToCodedStream(&coded);
  }
  return bytes;
}

// With the fields that have their default value: a script that asks for
// `isClosed` wants false, not nothing.
absl::Status ToJson(const google::protobuf::Message& message,
                    std::string& json) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  static google::protobuf::util::TypeResolver* const resolver =
      google::protobuf::util::NewTypeResolverForDescriptorPool(
          kTypeUrl, google::protobuf::DescriptorPool::generated_pool());
  const auto status = google::protobuf::util::BinaryToJsonString(
      resolver,
      absl::StrCat(kTypeUrl, "/", message.GetDescriptor()->full_name()),
      SortedBytes(message), &json, options);
  if (!status.ok()) {
    return absl::DataLossError(
        absl::StrCat("the answer has no JSON: ", status.ToString()));
  }
  return absl::OkStatus();
}

}  // namespace

client::CallOptions Session::Ordinary() const {
  return {.timeout = options.timeout.value_or(kOrdinaryTimeout),
          .canceller = canceller};
}

client::CallOptions Session::Waiting() const {
  return {.timeout = options.timeout.value_or(absl::InfiniteDuration()),
          .canceller = canceller};
}

absl::Status Session::Print(const google::protobuf::Message& message,
                            const std::string& text) const {
  if (options.output == Output::kJson) return PrintJson(message);
  out << text;
  out.flush();
  if (!out) return absl::DataLossError("the output cannot be written");
  return absl::OkStatus();
}

absl::Status Session::PrintJson(
    const google::protobuf::Message& message) const {
  std::string json;
  const absl::Status converted = ToJson(message, json);
  if (!converted.ok()) return converted;
  out << absl::StrCat(PrintableJson(json), "\n") << std::flush;
  if (!out) return absl::DataLossError("the output cannot be written");
  return absl::OkStatus();
}

}  // namespace portreeve::cli
