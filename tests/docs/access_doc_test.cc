// docs/ACCESS.md says what the code does.
#include "tests/docs/access_doc.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "server/access/access_table.h"
#include "server/access/policy.h"
#include "server/api/convert.h"

namespace portreeve::testing {
namespace {

std::string Document() {
  std::ostringstream document;
  document << std::ifstream("docs/ACCESS.md").rdbuf();
  return document.str();
}

// What is in the one block of this language.
std::string Block(const std::string& language) {
  const std::string document = Document();
  const std::string opening = "```" + language + "\n";
  const size_t begin = document.find(opening);
  const size_t end = document.find("```", begin + opening.size());
  if (begin == std::string::npos || end == std::string::npos) {
    ADD_FAILURE() << "no block of " << language;
    return "";
  }
  return document.substr(begin + opening.size(), end - begin - opening.size());
}

TEST(AccessDocTest, TheTableIsThatOfTheCode) {
  EXPECT_EQ(Document(), WithAccessTable(Document()))
      << "refresh it: ./bazelw run //tests/docs:access_doc -- "
         "\"$PWD/docs/ACCESS.md\"";
}

TEST(AccessDocTest, EveryMethodIsThere) {
  const std::string document = Document();
  for (const server::MethodAccess& access : server::AccessTable()) {
    EXPECT_NE(document.find(std::string(access.service) + "/" +
                            std::string(access.method) + "`"),
              std::string::npos)
        << access.method;
  }
}

TEST(AccessDocTest, TheExampleIsAPolicyThatDoesWhatItSays) {
  const auto policy =
      server::Policy::FromText(Block("textproto"), "docs/ACCESS.md");
  ASSERT_TRUE(policy.ok()) << policy.status();
  v1::WhereToListen listen;
  for (const int port : {0, 8000, 8999}) {
    listen.mutable_inet()->set_address("10.1.2.3");
    listen.mutable_inet()->set_port(port);
    EXPECT_TRUE(policy->CheckListen(*server::FromProto(listen)).ok()) << port;
  }
  listen.mutable_inet()->set_port(80);
  EXPECT_FALSE(policy->CheckListen(*server::FromProto(listen)).ok());
  v1::WhereToConnect dial;
  dial.mutable_inet()->set_host("10.1.2.3");
  dial.mutable_inet()->set_port(443);
  EXPECT_TRUE(policy->CheckConnect(*server::FromProto(dial)).ok());
  dial.mutable_inet()->set_host("10.9.2.3");
  EXPECT_FALSE(policy->CheckConnect(*server::FromProto(dial)).ok());
  EXPECT_EQ(policy->RoleOf({"spiffe://example.org/deploy"}), v1::ROLE_OPERATOR);
}

TEST(AccessDocTest, TheExampleOfAnAuditLineIsJson) {
  google::protobuf::Struct fields;
  ASSERT_TRUE(
      google::protobuf::util::JsonStringToMessage(Block("json"), &fields).ok());
  for (const char* name : {"time", "who", "method", "name", "result"}) {
    EXPECT_EQ(fields.fields().count(name), 1u) << name;
  }
  EXPECT_EQ(fields.fields_size(), 5);
}

}  // namespace
}  // namespace portreeve::testing
