#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "server/handover/handover_channel.h"
#include "server/handover/handover_receiver.h"
#include "server/handover/handover_records.h"
#include "server/handover/predecessor_policy.h"
#include "tests/server/handover/golden.h"
#include "tests/server/handover/handover_pair.h"
#include "tests/testing/descriptors.h"

namespace portreeve::server {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::string ReadText(const std::string& name) {
  std::ifstream file("tests/server/handover/golden/" + name);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Keeps all that it takes, as text.
class Collector : public HandoverSink {
 public:
  absl::Status TakeAccepted(
      const internal::v1::HandoverAccepted& accepted) override {
    return Take(accepted);
  }
  absl::Status TakeCounters(
      const internal::v1::HandoverCounters& counters) override {
    return Take(counters);
  }
  absl::Status TakeListener(internal::v1::HandoverListener record,
                            std::vector<Descriptor> descriptors) override {
    if (record.has_listening_descriptor()) {
      auto socket = TakeDescriptor(descriptors, record.listening_descriptor());
      if (!socket.ok()) return socket.status();
    }
    return Take(record);
  }
  absl::Status TakeControlSocket(internal::v1::HandoverControlSocket record,
                                 std::vector<Descriptor> descriptors) override {
    auto socket = TakeDescriptor(descriptors, record.listening_descriptor());
    if (!socket.ok()) return socket.status();
    return Take(record);
  }
  absl::Status TakeRequest(internal::v1::HandoverRequest record) override {
    return Take(record);
  }
  absl::Status TakeConnection(internal::v1::HandoverConnection record,
                              std::vector<Descriptor>) override {
    return Take(record);
  }
  absl::Status TakeEvents(internal::v1::HandoverEvents record,
                          Descriptor) override {
    return Take(record);
  }
  absl::Status TakeStore(internal::v1::HandoverStore record,
                         Descriptor) override {
    return Take(record);
  }
  absl::Status Check() override { return absl::OkStatus(); }
  void BeginToServe() noexcept override { serves = true; }

  std::vector<std::string> taken;
  bool serves = false;

 private:
  absl::Status Take(const Message& record) {
    taken.push_back(record.GetTypeName() + record.SerializeAsString());
    return absl::OkStatus();
  }
};

// What a collector should have of a message.
template <typename Records>
void AddAll(const Records& records, std::vector<std::string>& all) {
  for (const auto& record : records) {
    all.push_back(record.GetTypeName() + record.SerializeAsString());
  }
}
std::vector<std::string> RecordsIn(const std::vector<GoldenMessage>& golden) {
  std::vector<std::string> all;
  const auto add = [&](const Message& record) {
    all.push_back(record.GetTypeName() + record.SerializeAsString());
  };
  for (const auto& [is_from_successor, message] : golden) {
    if (message.has_accepted()) add(message.accepted());
    if (message.has_counters()) add(message.counters());
    AddAll(message.listeners().records(), all);
    AddAll(message.control().records(), all);
    AddAll(message.requests().records(), all);
    AddAll(message.connections().records(), all);
    if (message.has_events()) add(message.events());
    if (message.has_store()) add(message.store());
  }
  return all;
}

void NoteFields(const Message& message, std::set<std::string>& set) {
  std::vector<const FieldDescriptor*> fields;
  const auto* const get = message.GetReflection();
  get->ListFields(message, &fields);
  for (const FieldDescriptor* const field : fields) {
    set.insert(field->full_name());
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      NoteFields(get->GetMessage(message, field), set);
      continue;
    }
    for (int i = 0; i < get->FieldSize(message, field); ++i) {
      NoteFields(get->GetRepeatedMessage(message, field, i), set);
    }
  }
}

// Stands still, and waits for the other side as long as it takes.
class PatientClock : public HandoverClock {
 public:
  TimePoint Now() override { return TimePoint(std::chrono::hours(1)); }
  bool Poll(std::span<pollfd> fds, TimePoint) override {
    return System().Poll(fds, TimePoint::max());
  }
};

// The name of a file, or "" for what this build would write.
class HandoverGoldenTest : public ::testing::TestWithParam<std::string> {
 protected:
  const std::vector<GoldenMessage> golden_ =
      GetParam().empty() ? MakeGolden() : ParseGolden(ReadText(GetParam()));
};

// The predecessor of that version is a text; the successor is this build.
TEST_P(HandoverGoldenTest, IsAcceptedWhole) {
  ASSERT_FALSE(golden_.empty());
  const int before = testing::CountDescriptors();
  {
    PatientClock clock;
    auto [ours, theirs] = SocketPair();
    auto predecessor = HandoverChannel::Open(std::move(ours));
    auto successor = HandoverChannel::Open(std::move(theirs), clock);
    const Descriptor events = MemoryFile(GoldenEventBytes());
    ASSERT_TRUE(SealFile(events.get()).ok());
    Collector sink;
    absl::Status status;
    std::thread thread([&] {
      status = TakeOver(*successor, sink, {"now", std::nullopt}, clock);
    });
    for (const auto& [is_from_successor, message] : golden_) {
      if (is_from_successor) {
        const auto packet = predecessor->Receive(TimePoint::max());
        EXPECT_TRUE(packet.ok()) << packet.status();
        if (!packet.ok()) break;
        EXPECT_EQ(packet->message.kind_case(), message.kind_case());
        if (message.has_ready()) {
          EXPECT_EQ(packet->message.ready().ShortDebugString(),
                    message.ready().ShortDebugString());
        }
        if (message.has_serving()) break;
        continue;
      }
      // Pairs of sockets stand for what is not the events.
      std::vector<Descriptor> own;
      std::vector<int> descriptors;
      for (int i = 0; i < message.num_descriptors(); ++i) {
        own.push_back(SocketPair().first);
        descriptors.push_back(message.has_events() ? events.get()
                                                   : own.back().get());
      }
      const auto sent =
          predecessor->Send(message, descriptors, TimePoint::max());
      EXPECT_TRUE(sent.ok()) << sent;
      if (!sent.ok()) break;
    }
    thread.join();
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_TRUE(sink.serves);
    EXPECT_EQ(sink.taken, RecordsIn(golden_));
  }
  EXPECT_EQ(testing::CountDescriptors(), before);
}

// The successor of that version is a text; the predecessor is this build.
TEST_P(HandoverGoldenTest, IsHandedOverTo) {
  PredecessorTerms terms;
  HandoverCounts counts;
  for (const auto& [is_from_successor, message] : golden_) {
    if (message.has_end()) counts = message.end().counts();
    if (message.has_hello()) {
      terms.successor = message.hello().pid();
      terms.state = message.hello().state();
    }
  }
  const TimePoint now(std::chrono::hours(1));
  PredecessorPolicy policy(terms, now + std::chrono::seconds(1));
  for (const auto& [is_from_successor, message] : golden_) {
    if (!is_from_successor) continue;
    ASSERT_EQ(policy.action(), PredecessorPolicy::Action::kAwait)
        << policy.reason();
    policy.OnMessage(message, now);
    for (;;) {
      const auto action = policy.action();
      if (action == PredecessorPolicy::Action::kSendContents) {
        policy.OnContentsSent(counts, now);
      } else if (action == PredecessorPolicy::Action::kAwait ||
                 action == PredecessorPolicy::Action::kHandedOver) {
        break;
      } else {
        policy.OnDone(now);
      }
    }
    if (message.has_serving()) break;
  }
  EXPECT_EQ(policy.action(), PredecessorPolicy::Action::kHandedOver)
      << policy.reason();
}

// What that version says is understood.
TEST_P(HandoverGoldenTest, HasNoKindThatThisBuildDoesNotKnow) {
  for (const auto& [is_from_successor, message] : golden_) {
    EXPECT_NE(message.kind_case(), internal::v1::Handover::KIND_NOT_SET);
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, HandoverGoldenTest,
                         ::testing::Values("v1.textproto", "v2.textproto", ""));

// A field or a kind that is new needs a new version, and a text of that.
TEST(NewestGoldenTest, HasEveryField) {
  EXPECT_EQ(kNewestHandoverVersion, 2);
  // Of these the records of that version have none.
  std::set<std::string> set = {
      "portreeve.internal.v1.HandoverRequest.num_descriptors"};
  for (const GoldenMessage& one : ParseGolden(ReadText("v2.textproto"))) {
    NoteFields(one.message, set);
  }
  const std::function<void(const google::protobuf::Descriptor*)> look =
      [&](const google::protobuf::Descriptor* type) {
        for (int i = 0; i < type->field_count(); ++i) {
          EXPECT_EQ(set.count(type->field(i)->full_name()), 1u)
              << type->field(i)->full_name();
        }
        for (int i = 0; i < type->nested_type_count(); ++i) {
          look(type->nested_type(i));
        }
      };
  const auto* const file = internal::v1::Handover::descriptor()->file();
  for (int i = 0; i < file->message_type_count(); ++i) {
    look(file->message_type(i));
  }
}

TEST(NewestGoldenTest, IsWhatTheToolWritesAndReads) {
  const std::string text = ReadText("v2.textproto");
  ASSERT_NE(text, "");
  EXPECT_EQ(GoldenText(ParseGolden(text)), text);
}

}  // namespace
}  // namespace portreeve::server
