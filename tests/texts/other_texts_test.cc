// Names, durations and UTF-8, as the daemon and its client read them.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/value.h"
#include "client/name.h"
#include "listener_files/utf8.h"
#include "server/api/names.h"
#include "server/api/utf8.h"
#include "server/daemon/flags.h"
#include "tests/texts/text_rows.h"

namespace portreeve {
namespace {

// --- Names ----------------------------------------------------------------

// What follows "listeners/", and whether the daemon takes it.
struct Id {
  std::string text;
  bool is_taken;
};

const std::vector<Id>& Ids() {
  static const std::vector<Id> kIds = {
      {"web", true},
      {"w", true},
      {"web-7", true},
      {"w--7", true},
      {std::string(63, 'w'), true},
      {std::string(64, 'w'), false},
      {"listeners", true},
      {"connections", true},
      {"", false},
      {"7", false},
      {"7web", false},
      {"Web", false},
      {"web-", false},
      {"-web", false},
      {"we b", false},
      {" web", false},
      {"web ", false},
      {"we_b", false},
      {"we.b", false},
      {"we/b", false},
      {"web/", false},
      {"/web", false},
      {"listeners/web", false},
      {"connections/a1", false},
      {"w\xc3\xa9", false},
      {"web\n", false},
      {std::string("web\0", 4), false},
  };
  return kIds;
}

TEST(NameTextsTest, WhatTheDaemonCallsAListenerTheClientDoes) {
  for (const Id& id : Ids()) {
    SCOPED_TRACE(id.text);
    const std::string name = absl::StrCat("listeners/", id.text);
    const auto daemons = server::ParseListenerName(name, "name");
    EXPECT_EQ(daemons.ok(), id.is_taken);
    EXPECT_EQ(server::IsListenerId(id.text), id.is_taken);
    // By its name and by its id alone.
    const auto by_name = client::ListenerName(name);
    const auto by_id = client::ListenerName(id.text);
    if (by_name.ok()) {
      EXPECT_EQ(*by_name, name);
      EXPECT_EQ(*client::ListenerId(name), id.text);
    }
    if (!id.is_taken) continue;
    ASSERT_TRUE(daemons.ok() && by_name.ok() && by_id.ok());
    EXPECT_EQ(*daemons, id.text);
    EXPECT_EQ(*by_id, name);
    EXPECT_EQ(*client::ListenerId(id.text), id.text);
  }
}

TEST(NameTextsTest, WhatTheDaemonCallsAConnectionTheClientDoes) {
  for (const int64_t number :
       {int64_t{1}, int64_t{9}, int64_t{10}, int64_t{123'456}, INT64_MAX}) {
    const std::string name = server::ConnectionName(number);
    const std::string id = name.substr(name.find('/') + 1);
    for (const std::string& text : {name, id}) {
      SCOPED_TRACE(text);
      const auto clients = client::ConnectionName(text);
      ASSERT_TRUE(clients.ok()) << clients.status();
      EXPECT_EQ(*clients, name);
    }
    const auto daemons = server::ParseConnectionName(name, "name");
    ASSERT_TRUE(daemons.ok()) << daemons.status();
    EXPECT_EQ(*daemons, number);
  }
}

// As of what has short and full names: both programs and both modules.
TEST(NameTextsTest, TheClientTakesIdsAndNames) {
  for (const NameRow& row : ReadNameRows()) {
    SCOPED_TRACE(row.text);
    const auto listener = client::ListenerName(row.text);
    EXPECT_EQ(listener.ok(), row.listener.has_value());
    if (listener.ok() && row.listener) EXPECT_EQ(*listener, *row.listener);
    const auto connection = client::ConnectionName(row.text);
    EXPECT_EQ(connection.ok(), row.connection.has_value());
    if (connection.ok() && row.connection) {
      EXPECT_EQ(*connection, *row.connection);
    }
  }
}

// --- Durations ------------------------------------------------------------

// As the daemon reads --drain; which is at most a year, and not negative.
std::optional<int64_t> DaemonsNanoseconds(const std::string& text) {
  const std::string flag = absl::StrCat("--drain=", text);
  const char* const arguments[] = {"portreeved", flag.c_str()};
  const auto parsed = server::ParseFlags(2, arguments, "/");
  if (!parsed.ok()) return std::nullopt;
  return std::chrono::nanoseconds(std::get<server::Flags>(*parsed).drain)
      .count();
}

std::optional<int64_t> ClientsNanoseconds(const std::string& text) {
  const auto parsed = cli::ParseProtoDuration(text);
  if (!parsed.ok()) return std::nullopt;
  return parsed->seconds() * 1'000'000'000 + parsed->nanos();
}

TEST(DurationTextsTest, BothReadThemAlike) {
  constexpr int64_t kSecond = 1'000'000'000;
  const struct {
    const char* text;
    std::optional<int64_t> nanoseconds;
  } kTexts[] = {
      {"0", 0},
      {"0s", 0},
      {"-0s", 0},
      {"10s", 10 * kSecond},
      {"+10s", 10 * kSecond},
      {"010s", 10 * kSecond},
      {"1.5s", 3 * kSecond / 2},
      {".5s", kSecond / 2},
      {"1.s", kSecond},
      {"500ms", kSecond / 2},
      {"7us", 7'000},
      {"7ns", 7},
      {"0.5ns", 0},
      {"1m30s", 90 * kSecond},
      {"30s1m", 90 * kSecond},
      {"1s1s", 2 * kSecond},
      {"8760h", 8760 * 3600 * kSecond},
      {"", std::nullopt},
      {" ", std::nullopt},
      {"10", std::nullopt},
      {"s", std::nullopt},
      {"ten", std::nullopt},
      {"10 s", std::nullopt},
      {" 10s", std::nullopt},
      {"10s ", std::nullopt},
      {"1m 30s", std::nullopt},
      {"1m-30s", std::nullopt},
      {"10S", std::nullopt},
      {"10d", std::nullopt},
      {"10sec", std::nullopt},
      {"1e3s", std::nullopt},
      {"0x10s", std::nullopt},
      {"1,5s", std::nullopt},
      {"inf", std::nullopt},
      {"unlimited", std::nullopt},
      {"99999999999999999999h", std::nullopt},
  };
  for (const auto& [text, nanoseconds] : kTexts) {
    SCOPED_TRACE(text);
    EXPECT_EQ(DaemonsNanoseconds(text), nanoseconds);
    EXPECT_EQ(ClientsNanoseconds(text), nanoseconds);
  }
}

// --- UTF-8 ----------------------------------------------------------------

bool IsUtf8ToTheDaemon(const std::string& text) {
  return server::EscapeNonUtf8(text) == text;
}

// Each byte that can tell them apart, in every place of a character.
TEST(Utf8TextsTest, BothKnowTheSameTexts) {
  const std::string kBytes(
      "\x00 a\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xec\xed\xee"
      "\xef\xf0\xf1\xf3\xf4\xf5\xff",
      26);
  std::vector<std::string> texts = {""};
  for (size_t begin = 0, length = 1; length <= 4; ++length) {
    const size_t end = texts.size();
    for (; begin < end; ++begin) {
      for (const char byte : kBytes) texts.push_back(texts[begin] + byte);
    }
  }
  int num_well_formed = 0;
  for (const std::string& text : texts) {
    const bool to_client = IsUtf8(text);
    ASSERT_EQ(to_client, IsUtf8ToTheDaemon(text))
        << ::testing::PrintToString(text);
    num_well_formed += to_client;
  }
  EXPECT_GT(num_well_formed, 100);
  EXPECT_LT(static_cast<size_t>(num_well_formed), texts.size() / 2);
}

}  // namespace
}  // namespace portreeve
