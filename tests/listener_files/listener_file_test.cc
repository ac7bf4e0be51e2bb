// Files of listeners: what they may say, and what is said of those that are
// wrong.
#include "listener_files/listener_file.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/protobuf/text_format.h"

namespace portreeve {
namespace {

constexpr FileFormat kFormats[] = {FileFormat::kYaml, FileFormat::kJson,
                                   FileFormat::kTextproto};

// Gives the listeners as textproto, or the error.
std::string Parsed(FileFormat format, const std::string& text) {
  const auto wanted = ParseListeners("f", format, text);
  if (!wanted.ok()) return std::string(wanted.status().message());
  std::string all;
  for (const WantedListener& one : *wanted) {
    absl::StrAppend(&all, all.empty() ? "" : " | ",
                    one.listener.ShortDebugString());
  }
  return all;
}

struct Case {
  std::string text;
  std::string expected;
};

void Try(FileFormat format, const std::vector<Case>& cases) {
  for (const auto& [text, expected] : cases) {
    EXPECT_EQ(Parsed(format, text), expected) << text.substr(0, 200);
  }
}

// A YAML listener with this in its spec.
std::string Yaml(const std::string& spec) {
  return "name: web\nspec: {" + spec + "}\n";
}

constexpr char kWeb[] = "name: \"listeners/web\" spec { ";

TEST(ListenerFileTest, ScalarsOfYamlAreWhatTheyLookLike) {
  const std::string web = kWeb;
  const auto label = [&web](const std::string& value) {
    return web + "labels { key: \"k\" value: \"" + value + "\" } }";
  };
  Try(FileFormat::kYaml,
      {
          {Yaml("labels: {k: NO}"), label("NO")},
          {Yaml("labels: {k: yes}"), label("yes")},
          {Yaml("labels: {k: 1.10}"), label("1.10")},
          {Yaml("labels: {k: 8080}"), label("8080")},
          {Yaml("labels: {k: True}"), label("True")},
          {Yaml("labels: {k: \"true\"}"), label("true")},
          {Yaml("labels: {k: 'null'}"), label("null")},
          {Yaml("labels: {k: ''}"), label("")},
          {Yaml("labels: {k: 2001-01-01}"), label("2001-01-01")},
          {Yaml("max_connections: 7"), web + "max_connections: 7 }"},
          {Yaml("max_connections: '7'"), web + "max_connections: 7 }"},
          {Yaml("maxConnections: 7"), web + "max_connections: 7 }"},
          {Yaml("max_connections: null"), web + "}"},
          {Yaml("drop_incoming_connections: true"),
           web + "drop_incoming_connections: true }"},
          {Yaml("on_handler_error: ON_HANDLER_ERROR_IGNORE"),
           web + "on_handler_error: ON_HANDLER_ERROR_IGNORE }"},
          {Yaml("buffer_age_limit: {at_most: 90s}"),
           web + "buffer_age_limit { at_most { seconds: 90 } } }"},
          {Yaml("handler: {echo: {}}"), web + "handler { echo { } } }"},
          {Yaml("where_to_listen: {inet: {address: '*', port: 80}}"),
           web + "where_to_listen { inet { address: \"*\" port: 80 } } }"},
          {Yaml("where_to_listen: {unix_socket: {path: \"\\0a\"}}"),
           web + "where_to_listen { unix_socket { path: \"\\000a\" } } }"},
      });
}

TEST(ListenerFileTest, ListenersComeInTheOrderOfTheFile) {
  const std::string two =
      "name: \"listeners/b\" spec { } | "
      "name: \"listeners/a\" spec { }";
  Try(FileFormat::kYaml,
      {{"name: b\nspec: {}\n---\nname: listeners/a\nspec: {}\n", two},
       {"---\nname: b\nspec: {}\n...\n---\nname: a\nspec: {}\n", two},
       {"listeners:\n- {name: b, spec: {}}\n- {name: a, spec: {}}\n", two}});
  Try(FileFormat::kJson,
      {{R"({"listeners":[{"name":"b","spec":{}},{"name":"a","spec":{}}]})",
        two},
       {R"({"name":"b","spec":{}})", "name: \"listeners/b\" spec { }"}});
  Try(FileFormat::kTextproto,
      {{"# x\nlisteners { name: 'b' spec {} } listeners { name: 'a' spec {} }",
        two}});
}

TEST(ListenerFileTest, WrongYamlIsToldWithItsPlace) {
  const std::string deep(600, '[');
  Try(FileFormat::kYaml,
      {
          {"", "f: no listener"},
          {"# only a comment\n", "f: no listener"},
          {"---\n", "f, document 1, line 2: it is empty"},
          {"name: a\nspec: {}\n---\n---\nname: b\n",
           "f, document 2, line 4: it is empty"},
          {"web\n", "f, document 1, line 1: expected fields"},
          {"- name: a\n", "f, document 1, line 1: expected fields"},
          {"name: a\nspec: [1]\n",
           "f, document 1, line 2: spec: expected fields"},
          {"spec: {}\n", "f, document 1, line 1: name: it is required"},
          {"name: a\n", "f, document 1, line 1: spec: it is required"},
          {"name: connections/a\nspec: {}\n",
           "f, document 1, line 1: name: 'connections/a' is no name: expected "
           "ID or listeners/ID"},
          {"name: a\nuid: x\nspec: {}\n",
           "f, document 1, line 2: uid: only the daemon sets it"},
          {"name: a\nspec: {}\nstatus: {}\n",
           "f, document 1, line 3: status: only the daemon sets it"},
          {"name: a\nspec: {}\n---\nname: listeners/a\nspec: {}\n",
           "f, document 2, line 4: name: listeners/a is there already: f, "
           "document 1, line 1"},
          {"name: a\nname: b\n",
           "f, document 1, line 2: the key 'name' is there twice"},
          {"name: a\nspec:\n  labels:\n    k: 1\n    k: 2\n",
           "f, document 1, line 5: the key 'spec.labels.k' is there twice"},
          {"name: a\nspec:\n  max_connections: 1\n  maxConnections: 2\n",
           "f, document 1, line 3: spec.max_connections: it is there twice, by "
           "both of its names"},
          {"name: a\nspec:\n  handler:\n    ecko: {}\n",
           "f, document 1, line 4: spec.handler.ecko: there is no such field"},
          {"name: a\nnmae: b\n",
           "f, document 1, line 2: nmae: there is no such field"},
          {"name: &x a\nspec: {}\n",
           "f, document 1, line 1: anchors are not taken"},
          {"name: a\nspec: *x\n",
           "f, document 1, line 2: the referenced anchor is not defined"},
          {"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n",
           "f, document 1, line 1: anchors are not taken"},
          {"name: !!str a\n",
           "f, document 1, line 1: tags like 'tag:yaml.org,2002:str' are not "
           "taken"},
          {"? {a: b}\n: c\n", "f, document 1, line 1: a key must be a text"},
          {"name: [a\n",
           "f, document 1, line 2: end of sequence flow not "
           "found"},
          {"name: a\nspec:\n  where_to_listen:\n    unix_socket: {path: /x, "
           "mode: 0660}\n",
           "f, document 1, line 4: "
           "spec.where_to_listen.unix_socket.mode: a mode is a decimal number: "
           "432 for 0660"},
          {"name: a\nspec: {}\n---\nname: \"\xff\"\n",
           "f, line 4: it is not UTF-8"},
      });
  EXPECT_NE(Parsed(FileFormat::kYaml, deep).find("f, document 1, line 1: "),
            std::string::npos);
}

// Of these the end is protobuf's text.
TEST(ListenerFileTest, AValueOfAnotherTypeIsToldWithItsPlace) {
  const struct {
    const char* line;
    const char* field;
  } kCases[] = {
      {"max_connections: many", "spec.max_connections"},
      {"max_connections: 1.5", "spec.max_connections"},
      {"max_connections: 0x10", "spec.max_connections"},
      {"max_connections: 99999999999", "spec.max_connections"},
      {"max_connections: true", "spec.max_connections"},
      {"max_connections: [1]", "spec.max_connections"},
      {"drop_incoming_connections: maybe", "spec.drop_incoming_connections"},
      {"labels: {k: [1]}", "spec.labels"},
      {"labels: {k: true}", "spec.labels"},
      {"labels: [k]", "spec.labels"},
      {"on_handler_error: ignore", "spec.on_handler_error"},
      {"buffer_age_limit: {at_most: 90}", "spec.buffer_age_limit.at_most"},
      {"handler: {forward: {connect_timeout: fast}}",
       "spec.handler.forward.connect_timeout"},
  };
  for (const auto& [line, field] : kCases) {
    const std::string text =
        Parsed(FileFormat::kYaml, absl::StrCat("name: a\nspec:\n  ", line));
    EXPECT_EQ(text.find(absl::StrCat("f, document 1, line 3: ", field, ": ")),
              0u)
        << line << ": " << text;
  }
}

TEST(ListenerFileTest, WrongJsonIsToldWithItsPlace) {
  Try(FileFormat::kJson,
      {
          {R"({"listeners":[]})", "f: no listener"},
          {"[]", "f: expected fields"},
          {R"({"name":"a","name":"b"})", "f: the key 'name' is there twice"},
          {R"({"listeners":{}})",
           "f: listeners: expected a list, and nothing beside it"},
          {R"({"listeners":[],"revision":"1"})",
           "f: listeners: expected a list, and nothing beside it"},
          {R"({"listeners":[{"name":"a","spec":{}},{"name":"a","spec":{}}]})",
           "f, listeners[1]: name: listeners/a is there already: f, "
           "listeners[0]"},
          {R"({"listeners":[{"name":"a","spec":{"x":1}}]})",
           "f, listeners[0]: spec.x: there is no such field"},
          {R"({"name":"a","spec":{"labels":{"k":)" + std::string(100'000, '[') +
               std::string(100'000, ']') + "}}}",
           "f: more than 100 levels"},
      });
  EXPECT_EQ(Parsed(FileFormat::kJson, "{\n\"name\": }")
                .find("f: parse error at line 2, column 9: "),
            0u)
      << Parsed(FileFormat::kJson, "{\n\"name\": }");
  EXPECT_EQ(Parsed(FileFormat::kJson, "").find("f: parse error"), 0u);
}

TEST(ListenerFileTest, WrongTextprotoIsToldWithItsPlace) {
  Try(FileFormat::kTextproto,
      {
          {"", "f: no listener"},
          {"listeners { name: 'a' }\n",
           "f, listeners[0], line 1: spec: it is required"},
          {"\nlisteners { name: 'a' spec {} }\nlisteners { name: 'a' spec {} }",
           "f, listeners[1], line 3: name: listeners/a is there already: f, "
           "listeners[0], line 2"},
          {"listeners { name: 'a' spec {} } revision: 1",
           "f: only `listeners` may be set"},
          {"listeners {\n  nmae: 'a' }",
           "f, line 2: Message type \"portreeve.v1.Listener\" has no field "
           "named \"nmae\"."},
      });
  for (const char* text : {"listeners {", "listeners { name: 'a' name: 'b' }",
                           "listeners { name: 7 }",
                           "listeners { spec { max_connections: 'x' } }"}) {
    EXPECT_EQ(Parsed(FileFormat::kTextproto, text).find("f, line 1: "), 0u)
        << Parsed(FileFormat::kTextproto, text);
  }
}

TEST(ListenerFileTest, AFileHasABound) {
  for (const FileFormat format : kFormats) {
    EXPECT_EQ(Parsed(format, std::string(10 << 20, '#')),
              "f: it has more than 8 MiB");
  }
}

TEST(ListenerFileTest, TheNameSaysTheFormat) {
  EXPECT_EQ(FormatOf("a.json"), FileFormat::kJson);
  EXPECT_EQ(FormatOf("a.textproto"), FileFormat::kTextproto);
  EXPECT_EQ(FormatOf("a.txtpb"), FileFormat::kTextproto);
  EXPECT_EQ(FormatOf("a.pbtxt"), FileFormat::kTextproto);
  for (const char* name : {"a.yaml", "a.yml", "a", "-", "json"}) {
    EXPECT_EQ(FormatOf(name), FileFormat::kYaml) << name;
  }
  EXPECT_TRUE(ParseFileFormat("textproto").ok());
  EXPECT_FALSE(ParseFileFormat("YAML").ok());
}

TEST(ListenerFileTest, WhatIsPrintedIsTakenBack) {
  v1::Listener web;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"(name: "listeners/web"
         spec {
           where_to_listen { inet { address: "::" port: 0 dual_stack: true
                                    reuse_address: false } }
           handler { forward { upstream { inet { host: "no" port: 1 } }
                               connect_timeout { seconds: 1 nanos: 5 } } }
           max_connections: 5 on_handler_error: ON_HANDLER_ERROR_IGNORE
           buffer_age_limit { unlimited {} }
           labels { key: "true" value: "NO" } labels { key: "1.10" value: "~" }
           labels { key: "a: b" value: "- x\n#\t\"'\\" }
           labels { key: "null" value: "" }
           labels { key: "\342\200\256\360\237\230\200" value: "\033[2J" } })",
      &web));
  v1::Listener unix_one;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"(name: "listeners/x"
         spec { where_to_listen { unix_socket { path: "\000abc" mode: 432 } }
                handler { echo {} } })",
      &unix_one));
  for (const FileFormat format : kFormats) {
    const std::string text = ListenersText({web, unix_one}, format);
    for (const char c : text) {
      EXPECT_TRUE(c == '\n' || (c >= ' ' && c <= '~')) << text;
    }
    EXPECT_EQ(Parsed(format, text),
              web.ShortDebugString() + " | " + unix_one.ShortDebugString())
        << text;
  }
}

TEST(ListenerFileTest, YamlIsForPeople) {
  v1::Listener web;
  web.set_name("listeners/web");
  web.mutable_spec()->mutable_handler()->mutable_echo();
  (*web.mutable_spec()->mutable_labels())["country"] = "NO";
  web.mutable_spec()->set_max_connections(5);
  EXPECT_EQ(ListenersText({web}, FileFormat::kYaml),
            "---\n"
            "name: listeners/web\n"
            "spec:\n"
            "  handler:\n"
            "    echo:\n"
            "      {}\n"
            "  labels:\n"
            "    country: \"NO\"\n"
            "  max_connections: 5\n");
}

}  // namespace
}  // namespace portreeve
