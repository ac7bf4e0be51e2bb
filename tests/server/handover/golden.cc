#include "tests/server/handover/golden.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/api/crc32c.h"
#include "server/handover/predecessor_policy.h"

namespace portreeve::server {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using internal::v1::Handover;

constexpr char kFromSuccessor[] = "# successor";
constexpr char kFromPredecessor[] = "# predecessor";

// Sets every field, each to something else, of a oneof the first.
class Filler {
 public:
  void Fill(Message& message) {
    const auto* const type = message.GetDescriptor();
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* const field = type->field(i);
      const auto* const group = field->real_containing_oneof();
      if (group != nullptr && group->field(0) != field) continue;
      // Number and lengths are set by whoever sends it.
      if (field->name() == "num_descriptors") continue;
      if (field->is_map()) {
        FillMap(message, field);
      } else if (field->is_repeated()) {
        for (int n = 0; n < 2; ++n) Add(message, field);
      } else {
        Set(message, field);
      }
    }
  }

 private:
  void FillMap(Message& message, const FieldDescriptor* field) {
    // An entry is a message as any other.
    Fill(*message.GetReflection()->AddMessage(&message, field));
  }

  void Add(Message& message, const FieldDescriptor* field) {
    const auto* const set = message.GetReflection();
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      Fill(*set->AddMessage(&message, field));
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      set->AddString(&message, field, absl::StrCat("text ", ++next_));
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_INT64) {
      set->AddInt64(&message, field, (int64_t{1} << 40) + ++next_);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
      set->AddDouble(&message, field, 0.5 + ++next_);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_UINT64) {
      set->AddUInt64(&message, field,
                     (uint64_t{1} << 63) + static_cast<uint64_t>(++next_));
    } else {
      ADD_FAILURE() << field->full_name() << " is of a type that is new here";
    }
  }

  void Set(Message& message, const FieldDescriptor* field) {
    const auto* const set = message.GetReflection();
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        return set->SetInt32(&message, field, ++next_);
      case FieldDescriptor::CPPTYPE_INT64:
        return set->SetInt64(&message, field, (int64_t{1} << 40) + ++next_);
      case FieldDescriptor::CPPTYPE_UINT32:
        return set->SetUInt32(&message, field, static_cast<uint32_t>(++next_));
      case FieldDescriptor::CPPTYPE_UINT64:
        return set->SetUInt64(
            &message, field,
            (uint64_t{1} << 63) + static_cast<uint64_t>(++next_));
      case FieldDescriptor::CPPTYPE_BOOL:
        return set->SetBool(&message, field, true);
      case FieldDescriptor::CPPTYPE_STRING:
        return set->SetString(&message, field, absl::StrCat("text ", ++next_));
      case FieldDescriptor::CPPTYPE_ENUM: {
        const int count = field->enum_type()->value_count();
        return set->SetEnum(
            &message, field,
            field->enum_type()->value(1 + ++next_ % (count - 1)));
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Fill(*set->MutableMessage(&message, field));
      default:
        ADD_FAILURE() << field->full_name() << " is of a type that is new here";
    }
  }

  int next_ = 0;
};

// Numbers the messages of a side, and says what the channel says of them.
class Conversation {
 public:
  void Say(bool is_from_successor, Handover message, int num_descriptors = 0,
           bool wants_ack = false) {
    message.set_number(++numbers_[is_from_successor ? 1 : 0]);
    message.set_num_descriptors(num_descriptors);
    message.set_wants_ack(wants_ack);
    messages_.push_back({is_from_successor, std::move(message)});
  }

  std::vector<GoldenMessage>& messages() { return messages_; }

 private:
  int64_t numbers_[2] = {0, 0};
  std::vector<GoldenMessage> messages_;
};

// Of every field of a kind a value.
template <typename Kind>
Handover Filled(Filler& filler, Kind* (Handover::*kind)()) {
  Handover message;
  filler.Fill(*(message.*kind)());
  return message;
}

}  // namespace

std::string GoldenEventBytes() {
  std::string bytes;
  for (int i = 0; i < 100; ++i) absl::StrAppend(&bytes, "event ", i, "\n");
  return bytes;
}

std::vector<GoldenMessage> MakeGolden() {
  Filler filler;
  Conversation talk;
  HandoverCounts counts;

  Handover message = Filled(filler, &Handover::mutable_hello);
  message.mutable_hello()->set_min_version(1);
  message.mutable_hello()->set_max_version(2);
  message.mutable_hello()->set_descriptor_limit(524'288);
  message.mutable_hello()->set_open_descriptors(40);
  talk.Say(true, message);

  message = Filled(filler, &Handover::mutable_accepted);
  message.mutable_accepted()->set_version(2);
  talk.Say(false, message);

  talk.Say(false, Filled(filler, &Handover::mutable_counters), 0, true);

  // One with its socket, and one that has none.
  message = Filled(filler, &Handover::mutable_listeners);
  auto* const listeners = message.mutable_listeners()->mutable_records();
  listeners->at(0).set_num_descriptors(1);
  listeners->at(0).set_listening_descriptor(0);
  listeners->at(1).clear_listening_descriptor();
  counts.set_listeners(listeners->size());
  talk.Say(false, message, 1, true);

  message = Filled(filler, &Handover::mutable_control);
  for (auto& record : *message.mutable_control()->mutable_records()) {
    record.set_num_descriptors(1);
    record.set_listening_descriptor(0);
  }
  counts.set_control_sockets(2);
  talk.Say(false, message, 2, true);

  // Two messages.
  for (int i = 0; i < 2; ++i) {
    talk.Say(false, Filled(filler, &Handover::mutable_requests), 0, true);
  }
  counts.set_requests(4);
  for (int i = 0; i < 2; ++i) {
    talk.Say(false, Filled(filler, &Handover::mutable_connections), 0, true);
  }
  // One of each handler that moves, the last one with bytes in both pipes.
  message.Clear();
  int descriptors = 0;
  for (const int count : {1, 1, 6}) {
    auto& record = *message.mutable_connections()->add_records();
    filler.Fill(record);
    filler.Fill(*record.mutable_moved());
    record.set_handler(static_cast<internal::v1::HandoverConnection::Handler>(
        message.connections().records_size()));
    record.set_num_descriptors(count);
    descriptors += count;
  }
  talk.Say(false, message, descriptors, true);
  counts.set_connections(7);

  message = Filled(filler, &Handover::mutable_events);
  const std::string bytes = GoldenEventBytes();
  message.mutable_events()->set_num_descriptors(1);
  message.mutable_events()->set_bytes(static_cast<int64_t>(bytes.size()));
  message.mutable_events()->set_crc(Crc32c({bytes}));
  counts.set_event_bytes(static_cast<int64_t>(bytes.size()));
  talk.Say(false, message, 1, true);

  message = Filled(filler, &Handover::mutable_store);
  message.mutable_store()->set_num_descriptors(1);
  counts.set_stores(1);
  talk.Say(false, message, 1, true);

  counts.set_descriptors(5 + descriptors);
  message.Clear();
  *message.mutable_end()->mutable_counts() = counts;
  talk.Say(false, message, 0, true);

  message.Clear();
  *message.mutable_ready()->mutable_counts() = counts;
  talk.Say(true, message);

  message.Clear();
  message.mutable_commit()->set_deadline_nanos(
      std::chrono::nanoseconds(std::chrono::hours(2)).count());
  talk.Say(false, message);
  talk.Say(true, Filled(filler, &Handover::mutable_serving));

  talk.Say(false, Filled(filler, &Handover::mutable_held_progress));
  talk.Say(false, Filled(filler, &Handover::mutable_held_closed));
  talk.Say(false, Filled(filler, &Handover::mutable_raised));
  talk.Say(false, Filled(filler, &Handover::mutable_moved_bytes));
  talk.Say(false, Filled(filler, &Handover::mutable_moved_on), 1);
  talk.Say(true, Filled(filler, &Handover::mutable_close_held));
  talk.Say(true, Filled(filler, &Handover::mutable_drain_now));

  talk.Say(false, Filled(filler, &Handover::mutable_refused));
  talk.Say(true, Filled(filler, &Handover::mutable_failed));
  talk.Say(true, Filled(filler, &Handover::mutable_ack));
  return std::move(talk.messages());
}

std::string GoldenText(const std::vector<GoldenMessage>& messages) {
  int version = 0;
  for (const GoldenMessage& one : messages) {
    if (one.message.has_accepted()) version = one.message.accepted().version();
  }
  std::string text = absl::StrCat(
      "# A hand-over of version ", version,
      ", as server/handover speaks it. It is never\n"
      "# changed: a version that says more has a file of its own.\n");
  google::protobuf::TextFormat::Printer printer;
  for (const GoldenMessage& one : messages) {
    std::string printed;
    printer.PrintToString(one.message, &printed);
    absl::StrAppend(&text, "\n",
                    one.is_from_successor ? kFromSuccessor : kFromPredecessor,
                    "\n", printed);
  }
  return text;
}

std::vector<GoldenMessage> ParseGolden(const std::string& text) {
  std::vector<GoldenMessage> messages;
  std::vector<std::string> texts;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (line == kFromSuccessor || line == kFromPredecessor) {
      messages.push_back({line == kFromSuccessor, {}});
      texts.emplace_back();
    } else if (!texts.empty()) {
      absl::StrAppend(&texts.back(), line, "\n");
    }
  }
  for (size_t i = 0; i < messages.size(); ++i) {
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        texts[i], &messages[i].message))
        << texts[i];
  }
  return messages;
}

}  // namespace portreeve::server
