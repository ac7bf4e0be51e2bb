// The records of a hand-over in messages: how they are packed, and given to
// their owner again.
#ifndef PORTREEVE_SERVER_HANDOVER_HANDOVER_RECORDS_H_
#define PORTREEVE_SERVER_HANDOVER_HANDOVER_RECORDS_H_

#include <google/protobuf/io/coded_stream.h>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "lib/base/descriptor.h"
#include "portreeve/internal/v1/handover.pb.h"
#include "server/handover/handover_channel.h"

namespace portreeve::server {

// Packs records of one kind into messages that the channel takes.  A record
// and its descriptors are never in two of them.  `Batch` is one of
// HandoverListeners, HandoverControl, HandoverRequests, HandoverConnections.
template <typename Batch, typename Record>
class RecordPacker {
 public:
  // What a message may take beside its records.
  static constexpr size_t kEnvelopeBytes = 64;
  static constexpr size_t kMaxBytes =
      HandoverChannel::kMaxBytes - kEnvelopeBytes;

  // Adds a record, with its descriptors, whose number is set here; gives false,
  // and leaves both as they are, where the message has no room for it: then it
  // has to be taken before.  Errors: kTooLarge for one that goes into no
  // message.
  absl::StatusOr<bool> Add(Record& record, std::span<const int> descriptors) {
    record.set_num_descriptors(static_cast<int32_t>(descriptors.size()));
    const size_t length = record.ByteSizeLong();
    const size_t bytes =
        1 + length +
        google::protobuf::io::CodedOutputStream::VarintSize64(length);
    if (bytes > kMaxBytes ||
        descriptors.size() > HandoverChannel::kMaxDescriptors) {
      return ChannelError(
          ChannelFault::kTooLarge,
          absl::StrCat("a record of ", bytes, " bytes and ", descriptors.size(),
                       " descriptors is too large"));
    }
    if (bytes_ + bytes > kMaxBytes || descriptors_.size() + descriptors.size() >
                                          HandoverChannel::kMaxDescriptors) {
      return false;
    }
    bytes_ += bytes;
    descriptors_.insert(descriptors_.end(), descriptors.begin(),
                        descriptors.end());
    *batch_.add_records() = std::move(record);
    return true;
  }

  bool is_empty() const { return bytes_ == 0; }

  struct Packed {
    Batch batch;
    std::vector<int> descriptors;
  };
  // Gives what was added, and is empty again.
  Packed Take() {
    bytes_ = 0;
    return {std::exchange(batch_, {}), std::exchange(descriptors_, {})};
  }

 private:
  Batch batch_;
  std::vector<int> descriptors_;
  size_t bytes_ = 0;
};

// Calls `take(record, descriptors)` with each record of `batch` and the
// descriptors that are its own, until it gives an error.
// Errors: kDescriptorCount, before any call, where the records have more or
// fewer than there are; and that of `take`.
template <typename Batch, typename Take>
absl::Status Unpack(Batch& batch, std::vector<Descriptor> descriptors,
                    Take take) {
  size_t count = 0;
  for (const auto& record : batch.records()) {
    if (record.num_descriptors() < 0 ||
        static_cast<size_t>(record.num_descriptors()) >
            descriptors.size() - count) {
      return ChannelError(ChannelFault::kDescriptorCount,
                          "a record has too few descriptors");
    }
    count += static_cast<size_t>(record.num_descriptors());
  }
  if (count != descriptors.size()) {
    return ChannelError(ChannelFault::kDescriptorCount,
                        "there are descriptors that no record has");
  }
  auto next = std::make_move_iterator(descriptors.begin());
  for (auto& record : *batch.mutable_records()) {
    const auto end = next + record.num_descriptors();
    std::vector<Descriptor> own(next, end);
    next = end;
    if (auto s = take(std::move(record), std::move(own)); !s.ok()) return s;
  }
  return absl::OkStatus();
}

// Takes the descriptor out of those of a record that the record calls `index`.
// Errors: kDescriptorCount where there is none, or it was taken already.
absl::StatusOr<Descriptor> TakeDescriptor(std::vector<Descriptor>& descriptors,
                                          uint32_t index);

// What is in a file without a name (memfd_create(2)) that nobody can change any
// more.
struct FileSum {
  int64_t bytes = 0;
  uint32_t crc = 0;  // CRC-32C over them.
};
// Seals `memfd` against writing, growing and shrinking, and gives what it is
// like.  Nobody may have it mapped for writing.  Errors: kSystem.
absl::StatusOr<FileSum> SealFile(int memfd);
// Gives what a file is like that somebody else has sealed.  Errors: kMalformed
// for one that is not sealed; kSystem.
absl::StatusOr<FileSum> ReadSealedFile(int memfd);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HANDOVER_HANDOVER_RECORDS_H_
