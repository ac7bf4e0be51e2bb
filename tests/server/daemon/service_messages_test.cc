// What the service manager is told, over every short sequence of events.
#include "server/daemon/service_messages.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

namespace portreeve::server {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

TEST(ServiceMessagesTest, Words) {
  ServiceMessages messages;
  EXPECT_EQ(messages.Alive("none"), "");
  EXPECT_EQ(messages.Ready("1 listener"), "READY=1\nSTATUS=1 listener");
  EXPECT_EQ(messages.Alive("1 listener"), "WATCHDOG=1");
  EXPECT_EQ(messages.Alive("2 listeners"), "WATCHDOG=1\nSTATUS=2 listeners");
  EXPECT_EQ(messages.Alive("2 listeners"), "WATCHDOG=1");
  EXPECT_EQ(messages.Reloading(nanoseconds(5'000'001)),
            "RELOADING=1\nMONOTONIC_USEC=5001");
  EXPECT_EQ(messages.Reloaded("3 listeners"), "READY=1\nSTATUS=3 listeners");
  EXPECT_EQ(messages.Stopping("draining", seconds(17)),
            "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=17000000");
}

enum Event { kReady, kReloading, kReloaded, kAlive, kStopping };
constexpr int kNumEvents = 5;

std::string Do(ServiceMessages& messages, int event) {
  switch (event) {
    case kReady:
      return messages.Ready("s");
    case kReloading:
      return messages.Reloading(seconds(1));
    case kReloaded:
      return messages.Reloaded("s");
    case kAlive:
      return messages.Alive("s");
    default:
      return messages.Stopping("s", seconds(1));
  }
}

bool Begins(const std::string& message, const std::string& with) {
  return message.rfind(with, 0) == 0;
}

TEST(ServiceMessagesTest, EverySequence) {
  constexpr int kLength = 6;
  int num_sequences = 1;
  for (int i = 0; i < kLength; ++i) num_sequences *= kNumEvents;
  for (int sequence = 0; sequence < num_sequences; ++sequence) {
    ServiceMessages messages;
    bool is_ready = false, is_stopping = false;
    int reloads = 0;
    std::string shown;
    for (int i = 0, rest = sequence; i < kLength; ++i, rest /= kNumEvents) {
      const int event = rest % kNumEvents;
      shown += "RLEAS"[event];
      const std::string message = Do(messages, event);
      std::string expected;
      if (is_stopping) {
      } else if (event == kStopping) {
        expected = "STOPPING=1\n";
        is_stopping = true;
      } else if (event == kReady) {
        if (!is_ready) expected = "READY=1\n";
        is_ready = true;
      } else if (!is_ready) {
      } else if (event == kReloading) {
        expected = "RELOADING=1\n";
        ++reloads;
      } else if (event == kReloaded) {
        // The manager takes the first READY=1 for the end of all.
        if (reloads > 0 && --reloads == 0) expected = "READY=1\n";
      } else {
        expected = "WATCHDOG=1";
      }
      ASSERT_EQ(message.empty(), expected.empty()) << shown << ": " << message;
      ASSERT_TRUE(Begins(message, expected)) << shown << ": " << message;
    }
  }
}

}  // namespace
}  // namespace portreeve::server
