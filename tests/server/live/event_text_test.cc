#include "server/live/event_text.h"

#include <gtest/gtest.h>

#include <string>

#include "portreeve/v1/event.pb.h"

namespace portreeve::server {
namespace {

v1::Event WithRevision(int64_t revision) {
  v1::Event event;
  event.set_revision(revision);
  event.set_instance_id("me");
  return event;
}

// A connection, and the end of the snapshot where that is asked for.
v1::WatchEventsResponse Two() {
  v1::WatchEventsResponse response;
  *response.add_events() = WithRevision(7);
  auto& accepted = *response.mutable_events(0)->mutable_connection_accepted();
  accepted.mutable_connection()->set_name("connections/b\n12");
  *response.add_events() = WithRevision(8);
  response.mutable_events(1)->mutable_snapshot_done();
  return response;
}

constexpr char kFirst[] =
    "data: {\"revision\":\"7\",\"instanceId\":\"me\",\"connectionAccepted\":"
    "{\"connection\":{\"name\":\"connections/b\\n12\"}}}\n\n";
constexpr char kSecond[] =
    "id: me/8\ndata: {\"revision\":\"8\",\"instanceId\":\"me\","
    "\"snapshotDone\":{}}\n\n";

TEST(EventTextTest, NewsHaveIds) {
  EXPECT_EQ(EventText(Two().SerializeAsString(), EventsAre::kNews),
            std::string("id: me/7\n") + kFirst + kSecond);
}

TEST(EventTextTest, OfASnapshotOnlyItsEndHas) {
  EXPECT_EQ(EventText(Two().SerializeAsString(), EventsAre::kSnapshot),
            std::string(kFirst) + kSecond);
}

TEST(EventTextTest, ARestartHasNone) {
  EXPECT_EQ(RestartText("INSTANCE_CHANGED"),
            "event: restart\ndata: {\"reason\":\"INSTANCE_CHANGED\"}\n\n");
}

TEST(EventTextTest, APartHasWholeEvents) {
  const v1::WatchEventsResponse response = Two();
  const std::string bytes = response.SerializeAsString();
  v1::WatchEventsResponse first;
  *first.add_events() = response.events(0);
  const size_t end = first.ByteSizeLong();
  EXPECT_EQ(EndOfPart(bytes, 0), end);
  EXPECT_EQ(EndOfPart(bytes, end), end);
  EXPECT_EQ(EndOfPart(bytes, bytes.size() - 1), end);
  EXPECT_EQ(EndOfPart(bytes, bytes.size()), bytes.size());
  EXPECT_EQ(EndOfPart(bytes, 1 << 20), bytes.size());
}

TEST(EventTextsTest, TheSameBytesAreMadeOnce) {
  EventTexts texts;
  const grpc::Slice bytes(Two().SerializeAsString());
  const EventTexts::Text text = texts.NewsOf(bytes);
  EXPECT_EQ(texts.NewsOf(grpc::Slice(bytes)), text);
  EXPECT_EQ(texts.num_made(), 1u);
  EXPECT_NE(texts.NewsOf(grpc::Slice(Two().SerializeAsString())), text);
  EXPECT_EQ(texts.num_made(), 2u);
  // Not for ever.
  for (int i = 0; i < 8; ++i) {
    texts.NewsOf(grpc::Slice(Two().SerializeAsString()));
  }
  EXPECT_NE(texts.NewsOf(bytes), text);
}

}  // namespace
}  // namespace portreeve::server
