#include "server/calls/data_frame.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "portreeve/v1/connection.pb.h"

namespace portreeve::server {
namespace {

using google::protobuf::internal::WireFormatLite;

constexpr uint32_t kClientTag =
    WireFormatLite::MakeTag(v1::ClientFrame::kDataFieldNumber,
                            WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
constexpr uint32_t kServerTag =
    WireFormatLite::MakeTag(v1::ServerFrame::kDataFieldNumber,
                            WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
// As one byte each.
static_assert(kClientTag < 0x80 && kServerTag < 0x80);

// More than any message has (ControlPlane::kMaxRequestBytes).
constexpr int kMostLengthBytes = 4;

// Takes bytes off the front of what lies in pieces.
class Front {
 public:
  explicit Front(std::vector<std::string_view>& pieces) : pieces_(pieces) {}

  std::optional<uint8_t> Take() {
    while (at_ < pieces_.size() && pieces_[at_].empty()) ++at_;
    if (at_ == pieces_.size()) return std::nullopt;
    const auto byte = static_cast<uint8_t>(pieces_[at_].front());
    pieces_[at_].remove_prefix(1);
    return byte;
  }

  // A varint of at most kMostLengthBytes.
  std::optional<size_t> TakeLength() {
    size_t length = 0;
    for (int i = 0; i < kMostLengthBytes; ++i) {
      const std::optional<uint8_t> byte = Take();
      if (!byte) return std::nullopt;
      length |= size_t{*byte & 0x7fu} << (7 * i);
      if (*byte < 0x80) return length;
    }
    return std::nullopt;
  }

 private:
  std::vector<std::string_view>& pieces_;
  size_t at_ = 0;
};

}  // namespace

std::optional<ReceivedData> ParseData(const grpc::ByteBuffer& message) {
  auto slices = std::make_shared<std::vector<grpc::Slice>>();
  if (!message.Dump(slices.get()).ok()) return std::nullopt;
  ReceivedData data;
  data.pieces.reserve(slices->size());
  for (const grpc::Slice& slice : *slices) {
    data.pieces.emplace_back(reinterpret_cast<const char*>(slice.begin()),
                             slice.size());
  }
  Front front(data.pieces);
  if (front.Take() != kClientTag) return std::nullopt;
  // What follows the field, or is missing, shows in the length.
  if (front.TakeLength() != data.size()) return std::nullopt;
  data.owner = std::move(slices);
  return data;
}

grpc::ByteBuffer EncodeData(DataBlock block) {
  uint8_t header[DataBlock::kHeaderRoom];
  header[0] = kServerTag;
  const uint8_t* const end =
      google::protobuf::io::CodedOutputStream::WriteVarint32ToArray(
          static_cast<uint32_t>(block.data().size()), header + 1);
  const std::string_view frame =
      block.Prepend({reinterpret_cast<const char*>(header),
                     static_cast<size_t>(end - header)});
  const grpc::Slice slice(const_cast<char*>(frame.data()), frame.size(),
                          std::free, block.Release());
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace portreeve::server
