#include "server/api/spec.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "portreeve/v1/listener.pb.h"

namespace portreeve::server {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using Path = std::vector<const FieldDescriptor*>;

// Calls `f` with the path to every message within `message`, and to itself.
void ForEachPath(const google::protobuf::Descriptor* message, const Path& path,
                 const std::function<void(const Path&)>& f) {
  f(path);
  for (int i = 0; i < message->field_count(); ++i) {
    const FieldDescriptor* field = message->field(i);
    if (field->message_type() == nullptr || field->is_map()) continue;
    ASSERT_FALSE(field->is_repeated()) << field->full_name();
    Path longer = path;
    longer.push_back(field);
    ForEachPath(field->message_type(), longer, f);
  }
}

Message& At(Message& message, const Path& path) {
  Message* at = &message;
  for (const FieldDescriptor* field : path) {
    at = at->GetReflection()->MutableMessage(at, field);
  }
  return *at;
}

TEST(DropUnknownFieldsTest, WhereverTheyAre) {
  int paths = 0;
  const auto check = [&](const Path& path) {
    ++paths;
    v1::ListenerSpec known;
    At(known, path);
    v1::ListenerSpec spec = known;
    Message& at = At(spec, path);
    at.GetReflection()->MutableUnknownFields(&at)->AddVarint(1000, 7);
    ASSERT_NE(spec.SerializeAsString(), known.SerializeAsString());
    DropUnknownFields(spec);
    EXPECT_EQ(spec.SerializeAsString(), known.SerializeAsString())
        << (path.empty() ? "the spec" : path.back()->full_name());
  };
  ForEachPath(v1::ListenerSpec::descriptor(), {}, check);
  EXPECT_GT(paths, 10);
}

TEST(DropUnknownFieldsTest, NothingElse) {
  v1::ListenerSpec spec;
  spec.mutable_where_to_listen()->mutable_inet()->set_port(80);
  spec.mutable_handler()->mutable_echo();
  (*spec.mutable_labels())["key"] = "value";
  const v1::ListenerSpec before = spec;
  DropUnknownFields(spec);
  EXPECT_EQ(spec.SerializeAsString(), before.SerializeAsString());
}

}  // namespace
}  // namespace portreeve::server
