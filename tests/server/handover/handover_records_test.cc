#include "server/handover/handover_records.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "server/api/crc32c.h"
#include "tests/server/handover/handover_pair.h"
#include "tests/testing/descriptors.h"

namespace portreeve::server {
namespace {

using internal::v1::HandoverConnection;
using internal::v1::HandoverConnections;
using Packer = RecordPacker<HandoverConnections, HandoverConnection>;

// A record that takes about so many bytes.
HandoverConnection RecordOf(int id, size_t bytes) {
  HandoverConnection record;
  record.mutable_connection()->set_name(std::to_string(id) + '/' +
                                        std::string(bytes, 'x'));
  return record;
}

// Whatever the records are, each is in one message with its descriptors, in the
// order in which they came, and every message goes through the channel.
TEST(RecordPackerTest, EveryMixOfSizesGoesThroughWhole) {
  auto [a, b] = SocketPair();
  auto sender = HandoverChannel::Open(std::move(a));
  auto receiver = HandoverChannel::Open(std::move(b));
  const Descriptor file = MemoryFile("x");
  struct Size {
    size_t bytes;
    size_t descriptors;
  };
  const std::vector<Size> sizes = {{0, 0},    {30'000, 1}, {59'800, 0},
                                   {10, 249}, {10, 250},   {200, 2}};
  const size_t num = sizes.size();
  for (size_t mix = 0; mix < num * num * num * num; ++mix) {
    Packer packer;
    std::vector<Size> sent;
    std::vector<Size> received;
    const auto carry = [&] {
      auto packed = packer.Take();
      EXPECT_TRUE(packer.is_empty());
      Handover message;
      *message.mutable_connections() = std::move(packed.batch);
      const auto status = sender->Send(std::move(message), packed.descriptors,
                                       TimePoint::min());
      ASSERT_TRUE(status.ok()) << status;
      auto packet = receiver->Receive(TimePoint::min());
      ASSERT_TRUE(packet.ok()) << packet.status();
      const auto unpacked = Unpack(
          *packet->message.mutable_connections(),
          std::move(packet->descriptors), [&](auto record, auto own) {
            const std::string& name = record.connection().name();
            EXPECT_EQ(name.substr(0, 2), std::to_string(received.size()) + "/");
            received.push_back({name.size() - 2, own.size()});
            return absl::OkStatus();
          });
      ASSERT_TRUE(unpacked.ok()) << unpacked;
    };
    size_t rest = mix;
    for (int i = 0; i < 4; ++i, rest /= num) {
      const Size size = sizes[rest % num];
      const std::vector<int> descriptors(size.descriptors, file.get());
      HandoverConnection record = RecordOf(i, size.bytes);
      auto added = packer.Add(record, descriptors);
      ASSERT_TRUE(added.ok()) << added.status();
      if (!*added) {
        EXPECT_FALSE(packer.is_empty());
        carry();
        added = packer.Add(record, descriptors);
      }
      ASSERT_TRUE(added.ok() && *added);
      sent.push_back(size);
    }
    carry();
    ASSERT_EQ(received.size(), sent.size());
    for (size_t i = 0; i < sent.size(); ++i) {
      EXPECT_EQ(received[i].bytes, sent[i].bytes);
      EXPECT_EQ(received[i].descriptors, sent[i].descriptors);
    }
  }
}

TEST(RecordPackerTest, FillsMessagesToTheLastByte) {
  Packer packer;
  for (int i = 0;; ++i) {
    HandoverConnection record = RecordOf(i, 100);
    if (!*packer.Add(record, {})) break;
  }
  Handover message;
  message.set_number(INT64_MAX);
  message.set_num_descriptors(250);
  message.set_wants_ack(true);
  *message.mutable_connections() = packer.Take().batch;
  EXPECT_LE(message.ByteSizeLong(), HandoverChannel::kMaxBytes);
  EXPECT_GT(message.ByteSizeLong(), HandoverChannel::kMaxBytes - 500);
}

TEST(RecordPackerTest, ARecordThatGoesIntoNoMessageIsAnError) {
  Packer packer;
  HandoverConnection record = RecordOf(0, HandoverChannel::kMaxBytes);
  EXPECT_EQ(FaultOf(packer.Add(record, {}).status()), ChannelFault::kTooLarge);
  record = RecordOf(0, 1);
  EXPECT_EQ(FaultOf(packer.Add(record, std::vector<int>(251)).status()),
            ChannelFault::kTooLarge);
  EXPECT_TRUE(packer.is_empty());
}

TEST(UnpackTest, DescriptorsThatDoNotAddUpAreRefusedBeforeAnyIsTaken) {
  const int before = testing::CountDescriptors();
  struct Case {
    std::vector<int> records;
    size_t descriptors;
  };
  for (const Case& wrong : std::vector<Case>{{{1, 1}, 1},
                                             {{1, 1}, 3},
                                             {{-1, 2}, 1},
                                             {{INT32_MAX, INT32_MAX, 4}, 2},
                                             {{}, 1}}) {
    HandoverConnections batch;
    for (const int count : wrong.records) {
      batch.add_records()->set_num_descriptors(count);
    }
    std::vector<Descriptor> descriptors;
    for (size_t i = 0; i < wrong.descriptors; ++i) {
      descriptors.push_back(MemoryFile("x"));
    }
    int taken = 0;
    const auto status = Unpack(batch, std::move(descriptors), [&](auto, auto) {
      ++taken;
      return absl::OkStatus();
    });
    EXPECT_EQ(FaultOf(status), ChannelFault::kDescriptorCount);
    EXPECT_EQ(taken, 0);
    EXPECT_EQ(testing::CountDescriptors(), before);
  }
}

TEST(UnpackTest, AnErrorEndsItAndClosesTheRest) {
  const int before = testing::CountDescriptors();
  HandoverConnections batch;
  std::vector<Descriptor> descriptors;
  for (int i = 0; i < 3; ++i) {
    batch.add_records()->set_num_descriptors(1);
    descriptors.push_back(MemoryFile("x"));
  }
  int taken = 0;
  const auto status = Unpack(batch, std::move(descriptors), [&](auto, auto) {
    return ++taken == 2 ? absl::AbortedError("enough") : absl::OkStatus();
  });
  EXPECT_EQ(status.message(), "enough");
  EXPECT_EQ(taken, 2);
  EXPECT_EQ(testing::CountDescriptors(), before);
}

TEST(TakeDescriptorTest, EachIsThereOnce) {
  std::vector<Descriptor> descriptors;
  descriptors.push_back(MemoryFile("x"));
  descriptors.push_back(MemoryFile("y"));
  EXPECT_FALSE(TakeDescriptor(descriptors, 2).ok());
  EXPECT_TRUE(TakeDescriptor(descriptors, 1).ok());
  EXPECT_EQ(FaultOf(TakeDescriptor(descriptors, 1).status()),
            ChannelFault::kDescriptorCount);
  EXPECT_TRUE(TakeDescriptor(descriptors, 0).ok());
}

TEST(SealedFileTest, NobodyCanChangeIt) {
  for (const std::string& bytes :
       {std::string(), std::string("x"), std::string(1 << 20, 'y')}) {
    const Descriptor file = MemoryFile(bytes);
    EXPECT_EQ(FaultOf(ReadSealedFile(file.get()).status()),
              ChannelFault::kMalformed);
    const auto sealed = SealFile(file.get());
    ASSERT_TRUE(sealed.ok()) << sealed.status();
    EXPECT_EQ(sealed->bytes, static_cast<int64_t>(bytes.size()));
    EXPECT_EQ(sealed->crc, Crc32c({bytes}));
    EXPECT_EQ(write(file.get(), "z", 1), -1);
    EXPECT_EQ(ftruncate(file.get(), 0), bytes.empty() ? 0 : -1);
    const auto read = ReadSealedFile(file.get());
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->crc, sealed->crc);
  }
  EXPECT_FALSE(ReadSealedFile(-1).ok());
  EXPECT_FALSE(SealFile(-1).ok());
}

}  // namespace
}  // namespace portreeve::server
