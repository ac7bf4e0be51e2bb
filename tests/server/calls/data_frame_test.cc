// Data frames by hand, beside what protobuf says of the same bytes.
#include "server/calls/data_frame.h"

#include <google/protobuf/io/coded_stream.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "portreeve/v1/connection.pb.h"

namespace portreeve::server {
namespace {

// `parts` as the slices of one message.
grpc::ByteBuffer Message(const std::vector<std::string>& parts) {
  std::vector<grpc::Slice> slices;
  for (const std::string& part : parts) slices.emplace_back(part);
  return grpc::ByteBuffer(slices.data(), slices.size());
}

std::string Joined(const ReceivedData& data) {
  std::string all;
  for (const std::string_view piece : data.pieces) all += piece;
  return all;
}

std::string BytesOf(const grpc::ByteBuffer& message) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(message.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

std::string Serialized(const std::string& data) {
  v1::ClientFrame frame;
  frame.set_data(data);
  return frame.SerializeAsString();
}

// The data that ParseData() takes `bytes` for, which is the same however they
// are cut into slices.
std::optional<std::string> Parsed(const std::string& bytes) {
  const auto whole = ParseData(Message({bytes}));
  std::optional<std::string> data;
  if (whole) data = Joined(*whole);
  for (size_t first = 0; first <= bytes.size(); ++first) {
    for (size_t second = first; second <= bytes.size(); ++second) {
      const auto cut = ParseData(
          Message({bytes.substr(0, first), bytes.substr(first, second - first),
                   bytes.substr(second)}));
      EXPECT_EQ(cut.has_value(), whole.has_value()) << first << " " << second;
      if (cut && data) {
        EXPECT_EQ(Joined(*cut), *data);
        EXPECT_EQ(cut->size(), data->size());
      }
    }
  }
  return data;
}

TEST(ParseDataTest, OneFieldHoweverItIsCut) {
  for (const std::string& data :
       {std::string(), std::string("x"), std::string("some data"),
        std::string(127, 'y'), std::string(128, 'z'),
        std::string("\0\x1a\0", 3)}) {
    EXPECT_EQ(Parsed(Serialized(data)), data);
  }
}

TEST(ParseDataTest, LengthsOfEverySize) {
  for (const size_t size : {127, 128, 16383, 16384, 65536, 256 * 1024 + 1}) {
    const std::string data(size, 'd');
    const std::string bytes = Serialized(data);
    const auto parsed =
        ParseData(Message({bytes.substr(0, 2), bytes.substr(2)}));
    ASSERT_TRUE(parsed.has_value()) << size;
    EXPECT_TRUE(Joined(*parsed) == data);
  }
}

TEST(ParseDataTest, TheOwnerKeepsTheBytes) {
  std::optional<ReceivedData> data;
  {
    const grpc::ByteBuffer message =
        Message({Serialized("to be kept").substr(0, 5),
                 Serialized("to be kept").substr(5)});
    data = ParseData(message);
  }
  ASSERT_TRUE(data.has_value());
  EXPECT_EQ(Joined(*data), "to be kept");
}

TEST(ParseDataTest, EverythingElseIsProtobufs) {
  v1::ClientFrame eof, attach;
  eof.mutable_eof();
  attach.mutable_attach()->set_connection("connections/a1");
  const std::string data = Serialized("data");
  const std::string unknown("\xf8\x01\x05", 3);  // Field 31, a varint.
  const std::vector<std::string> others = {
      "",
      eof.SerializeAsString(),
      attach.SerializeAsString(),
      data + data,                     // The last one counts.
      data + eof.SerializeAsString(),  // So it does here.
      eof.SerializeAsString() + data,
      unknown + data,
      data + unknown,
      data + std::string(1, '\0'),
      data.substr(0, data.size() - 1),  // Cut short.
      data.substr(0, 2),
      data.substr(0, 1),
      std::string("\x9a\x00\x04", 3) + "data",  // The tag in two bytes.
      std::string("\x1a\x84\x80\x80\x80\x00", 6) + "data",
      std::string("\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11),
      std::string("\x18\x04", 2),  // Field 3, a varint.
  };
  for (const std::string& bytes : others) {
    EXPECT_EQ(Parsed(bytes), std::nullopt);
  }
}

// Whatever it takes, protobuf takes for the same.
TEST(ParseDataTest, AgreesWithProtobufAboutAllShortMessages) {
  const std::string alphabet("\x00\x01\x02\x1a\x80\x81\x22", 7);
  int taken = 0;
  for (int length = 0; length <= 5; ++length) {
    int count = 1;
    for (int i = 0; i < length; ++i) count *= 7;
    for (int number = 0; number < count; ++number) {
      std::string bytes;
      for (int rest = number, i = 0; i < length; ++i, rest /= 7) {
        bytes += alphabet[static_cast<size_t>(rest % 7)];
      }
      const auto parsed = ParseData(Message({bytes}));
      if (!parsed) continue;
      ++taken;
      v1::ClientFrame frame;
      ASSERT_TRUE(frame.ParseFromString(bytes));
      EXPECT_TRUE(frame.has_data());
      EXPECT_EQ(frame.data(), Joined(*parsed));
    }
  }
  EXPECT_GT(taken, 50);
}

TEST(ReceivedDataTest, RemovePrefixCountsOverThePieces) {
  const std::string all = "abcdef";
  for (size_t removed = 0; removed <= all.size(); ++removed) {
    ReceivedData data{{"ab", "", "c", "def"}, nullptr};
    data.RemovePrefix(removed);
    EXPECT_EQ(Joined(data), all.substr(removed));
    EXPECT_EQ(data.size(), all.size() - removed);
  }
}

TEST(EncodeDataTest, IsWhatProtobufWouldSend) {
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{127}, size_t{128}, size_t{16383},
        size_t{16384}, kMaxServerDataBytes}) {
    const std::string data(size, 'e');
    v1::ServerFrame frame;
    frame.set_data(data);
    EXPECT_TRUE(BytesOf(EncodeData(DataBlock(data))) ==
                frame.SerializeAsString())
        << size;
  }
}

TEST(EncodeDataTest, SendsWhatIsLeftOfABlock) {
  DataBlock block(std::string_view("and no more"));
  block.Shrink(3);
  v1::ServerFrame frame;
  frame.set_data("and");
  EXPECT_EQ(BytesOf(EncodeData(std::move(block))), frame.SerializeAsString());
}

// Twice, for what is kept between them.
TEST(ReceiveBlockTest, GivesWhatWasReceived) {
  for (const size_t size : {size_t{0}, size_t{10}, kMaxServerDataBytes / 4,
                            kMaxServerDataBytes, size_t{1}}) {
    const auto block = ReceiveBlock([size](std::span<char> space) {
      EXPECT_EQ(space.size(), kMaxServerDataBytes);
      std::fill_n(space.begin(), size, 'r');
      return std::optional<size_t>(size);
    });
    ASSERT_TRUE(block.has_value());
    EXPECT_TRUE(block->data() == std::string(size, 'r')) << size;
    EXPECT_EQ(ReceiveBlock([](std::span<char>) {
                return std::optional<size_t>();
              }).has_value(),
              false);
  }
}

}  // namespace
}  // namespace portreeve::server
