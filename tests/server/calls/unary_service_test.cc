#include "server/calls/unary_service.h"

#include <gtest/gtest.h>

#include <string>

#include "portreeve/v1/listener.pb.h"

namespace portreeve::server {
namespace {

using Request = Received<v1::GetListenerRequest>;
using Answer = Reply<v1::Listener>;

grpc::ByteBuffer BufferOf(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  EXPECT_TRUE(buffer.DumpToSingleSlice(&slice).ok());
  return std::string(slice.begin(), slice.end());
}

TEST(UnaryServiceTest, WhatIsNoRequestIsReceivedAllTheSame) {
  struct Row {
    std::string bytes;
    bool is_parsed;
  };
  for (const Row& row :
       {Row{"", true}, Row{"\x0a\x01z", true}, Row{"\x0a\x01\xff", false},
        Row{"\x0a\x02z", false}, Row{"\xff", false}}) {
    Request request;
    grpc::ByteBuffer buffer = BufferOf(row.bytes);
    EXPECT_TRUE(
        grpc::SerializationTraits<Request>::Deserialize(&buffer, &request)
            .ok());
    EXPECT_EQ(request.is_parsed, row.is_parsed) << row.bytes;
    if (row.is_parsed) {
      EXPECT_EQ(request.message.SerializeAsString(), row.bytes);
    }
  }
}

TEST(UnaryServiceTest, OnceEncodedAnAnswerIsBytesOnly) {
  Answer answer;
  answer.message.set_name("listeners/web");
  (*answer.message.mutable_spec()->mutable_labels())["a"] =
      std::string(100'000, 'x');
  const std::string bytes = answer.message.SerializeAsString();
  grpc::ByteBuffer buffer;
  bool own_buffer = false;
  EXPECT_TRUE(
      grpc::SerializationTraits<Answer>::Serialize(answer, &buffer, &own_buffer)
          .ok());
  EXPECT_EQ(BytesOf(buffer), bytes);
  EXPECT_LT(answer.message.SpaceUsedLong(), 1'000u);
}

}  // namespace
}  // namespace portreeve::server
