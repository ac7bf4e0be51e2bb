// Users and groups by name, with databases of several kinds.
#include "server/access/system_accounts.h"

#include <grp.h>
#include <gtest/gtest.h>
#include <pwd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace {

// What the database says: an errno, or 0.
int answer = 0;
size_t needed_bytes = 0;
int num_questions = 0;

template <typename Entry>
int Ask(const char* name, char* space, size_t size, Entry* entry, Entry** found,
        char* Entry::*name_of) {
  ++num_questions;
  *found = nullptr;
  if (answer != 0) return answer;
  if (size < needed_bytes) return ERANGE;
  if (std::strcmp(name, "ann") != 0) return 0;
  std::strncpy(space, name, size);
  entry->*name_of = space;
  *found = entry;
  return 0;
}

}  // namespace

// In place of the system's.
extern "C" int getpwnam_r(const char* name, passwd* entry, char* space,
                          size_t size, passwd** found) {
  entry->pw_uid = 1000;
  return Ask(name, space, size, entry, found, &passwd::pw_name);
}
extern "C" int getgrnam_r(const char* name, group* entry, char* space,
                          size_t size, group** found) {
  entry->gr_gid = 100;
  return Ask(name, space, size, entry, found, &group::gr_name);
}

namespace portreeve::server {
namespace {

std::string Shown(const absl::StatusOr<id_t>& found) {
  return found.ok() ? std::to_string(*found)
                    : std::string(found.status().message());
}

class SystemAccountsTest : public ::testing::Test {
 protected:
  SystemAccountsTest() { answer = needed_bytes = num_questions = 0; }
};

TEST_F(SystemAccountsTest, NumbersAreNotLookedUp) {
  answer = EIO;
  for (const auto& [text, shown] : {std::pair("0", "0"),
                                    {"1000", "1000"},
                                    {"007", "7"},
                                    {"4294967294", "4294967294"}}) {
    EXPECT_EQ(Shown(FindUser(text)), shown);
    EXPECT_EQ(Shown(FindGroup(text)), shown);
  }
  for (const std::string text :
       {"4294967295", "4294967296", "18446744073709551616",
        "99999999999999999999999"}) {
    const std::string wrong = text + " is not a number from 0 to 4294967294";
    EXPECT_EQ(Shown(FindUser(text)), wrong);
    EXPECT_EQ(Shown(FindGroup(text)), wrong);
  }
  EXPECT_EQ(num_questions, 0);
}

TEST_F(SystemAccountsTest, NamesAre) {
  EXPECT_EQ(Shown(FindUser("ann")), "1000");
  EXPECT_EQ(Shown(FindGroup("ann")), "100");
  for (const std::string name : {"bob", "-1", "+1", "1x", " 1", "0x1"}) {
    EXPECT_EQ(Shown(FindUser(name)), "there is no user \"" + name + "\"");
    EXPECT_EQ(Shown(FindGroup(name)), "there is no group \"" + name + "\"");
  }
}

// The database would take them for what stands before.
TEST_F(SystemAccountsTest, NamesWithANulByteAreNobodys) {
  EXPECT_EQ(Shown(FindUser(std::string("ann\0x", 5))),
            "there is no user \"ann\\x00x\"");
  EXPECT_EQ(Shown(FindUser("")), "there is no user \"\"");
  EXPECT_EQ(num_questions, 0);
}

TEST_F(SystemAccountsTest, AnEntryMayBeLarge) {
  needed_bytes = 1 << 20;
  EXPECT_EQ(Shown(FindGroup("ann")), "100");
  needed_bytes = size_t{1} << 40;
  EXPECT_EQ(FindGroup("ann").status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(SystemAccountsTest, ADatabaseThatFailsIsNoAnswer) {
  for (const int error : {EIO, EMFILE, ENFILE, ENOMEM}) {
    answer = error;
    EXPECT_EQ(FindUser("ann").status().code(), absl::StatusCode::kUnavailable);
  }
  EXPECT_EQ(Shown(FindUser("ann")),
            "the system's database cannot tell about user \"ann\": Cannot "
            "allocate memory");
  for (const int error : {ENOENT, ESRCH}) {
    answer = error;
    EXPECT_EQ(FindUser("ann").status().code(), absl::StatusCode::kNotFound);
  }
}

}  // namespace
}  // namespace portreeve::server
