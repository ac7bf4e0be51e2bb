#include "server/upgrade/opened_listeners.h"

#include <gtest/gtest.h>

#include <string>

namespace portreeve::server {
namespace {

using Source = OpenedListeners::Source;

TEST(OpenedListenersTest, ThoseOfTheProcessBeforeAreNotNew) {
  OpenedListeners before;
  EXPECT_TRUE(before.Note(Source::kFlag, "tcp:127.0.0.1:0 echo"));
  EXPECT_TRUE(before.Note(Source::kFlag, "tcp:127.0.0.1:0 echo"));
  EXPECT_TRUE(before.Note(Source::kFile, "web"));
  OpenedListeners next;
  next.Restore(before.Save());
  EXPECT_FALSE(next.Note(Source::kFlag, "tcp:127.0.0.1:0 echo"));
  EXPECT_FALSE(next.Note(Source::kFlag, "tcp:127.0.0.1:0 echo"));
  // A third one is new, and so are others.
  EXPECT_TRUE(next.Note(Source::kFlag, "tcp:127.0.0.1:0 echo"));
  EXPECT_TRUE(next.Note(Source::kFlag, "web"));
  EXPECT_FALSE(next.Note(Source::kFile, "web"));
  // The one after that has them all.
  OpenedListeners last;
  last.Restore(next.Save());
  EXPECT_EQ(last.Save().size(), 5u);
  EXPECT_FALSE(last.Note(Source::kFlag, "web"));
}

TEST(OpenedListenersTest, AsManyAreRememberedAsGoIntoAMessage) {
  OpenedListeners many;
  for (size_t i = 0; i < OpenedListeners::kMostSaved + 10; ++i) {
    EXPECT_TRUE(many.Note(Source::kFile, std::to_string(i)));
  }
  EXPECT_EQ(many.Save().size(), OpenedListeners::kMostSaved);
}

}  // namespace
}  // namespace portreeve::server
