// The directory of --listeners: which files are read, in which order, and what
// is said of those that are wrong.
#include "server/daemon/listener_directory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "listener_files/listener_file.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::server {
namespace {

constexpr char kEcho[] =
    "spec: {where_to_listen: {inet: {address: localhost}}, handler: {echo: "
    "{}}";

std::string Yaml(const std::string& id, const std::string& more = "") {
  return "---\nname: " + id + "\n" + kEcho + more + "}\n";
}

std::string Json(const std::string& id) {
  return R"({"name": ")" + id +
         R"(", "spec": {"whereToListen": {"inet": {}}, "handler": {"echo": {}}}})";
}

std::string Textproto(const std::string& id) {
  return "listeners { name: '" + id +
         "' spec { where_to_listen { inet {} } handler { echo {} } } }";
}

class ListenerDirectoryTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_.File(name)) << text;
  }

  // Gives "ID=FILE ..." with the files of the labels, or the error without the
  // folder's path.
  std::string Read() const {
    const auto listeners = ReadListenerDirectory(folder_.path());
    if (!listeners.ok()) {
      const std::string error(listeners.status().message());
      EXPECT_EQ(error.rfind(folder_.path(), 0), 0u) << error;
      return error.substr(folder_.path().size());
    }
    std::string all;
    for (const FileListener& listener : *listeners) {
      const auto& draft = listener.draft;
      EXPECT_EQ(draft.source, v1::LISTENER_SOURCE_FLAG);
      EXPECT_EQ(listener.wanted.listener.name(),
                "listeners/" + draft.listener_id);
      all += draft.listener_id + "=" +
             draft.spec->message().labels().at("portreeve.file") + " ";
    }
    return all;
  }

  const testing::TemporaryFolder folder_;
};

TEST_F(ListenerDirectoryTest, AnEmptyOneHasNone) { EXPECT_EQ(Read(), ""); }

TEST_F(ListenerDirectoryTest, ReadsEveryFormatInTheOrderOfTheNames) {
  Write("b.yml", Yaml("e") + Yaml("a"));
  Write("B.yaml", Yaml("f"));
  Write("c.json", Json("d"));
  Write("a.textproto", Textproto("c") + Textproto("listeners/b"));
  Write("d.txtpb", Textproto("g"));
  Write("e.pbtxt", Textproto("h"));
  EXPECT_EQ(Read(),
            "f=B.yaml c=a.textproto b=a.textproto e=b.yml a=b.yml d=c.json "
            "g=d.txtpb h=e.pbtxt ");
}

TEST_F(ListenerDirectoryTest, PassesOverWhatIsNoFileOfListeners) {
  for (const char* name :
       {".hidden.yaml", ".#web.yaml", "web.yaml~", "#web.yaml#", "web.yaml.bak",
        "web.yaml.swp", "web.yaml.dpkg-old", "README", "README.md", "yaml",
        "web.YAML"}) {
    Write(name, "{");
  }
  ASSERT_EQ(mkdir(folder_.File("folder.yaml").c_str(), 0700), 0);
  Write("folder.yaml/web.yaml", "{");
  EXPECT_EQ(Read(), "");
}

TEST_F(ListenerDirectoryTest, FollowsLinks) {
  ASSERT_EQ(mkdir(folder_.File("..data").c_str(), 0700), 0);
  Write("..data/web", Yaml("web"));
  ASSERT_EQ(symlink("..data/web", folder_.File("link.yaml").c_str()), 0);
  EXPECT_EQ(Read(), "web=link.yaml ");
  ASSERT_EQ(unlink(folder_.File("..data/web").c_str()), 0);
  EXPECT_EQ(Read(), "/link.yaml: No such file or directory");
}

TEST_F(ListenerDirectoryTest, TheLabelIsTheDaemons) {
  Write("web.yaml", Yaml("web", ", labels: {portreeve.file: other, a: b}"));
  EXPECT_EQ(Read(), "web=web.yaml ");
  std::string labels;
  for (int i = 0; i < 64; ++i) {
    labels += (i == 0 ? "l" : ", l") + std::to_string(i) + ": v";
  }
  Write("web.yaml", Yaml("web", ", labels: {" + labels + "}"));
  EXPECT_EQ(Read(), "/web.yaml, document 1, line 3: spec.labels: at most 64");
}

TEST_F(ListenerDirectoryTest, SaysWhereWhatIsWrongIs) {
  const struct {
    const char* name;
    std::string text;
    std::string error;
  } kCases[] = {
      {"a.yaml", Yaml("a") + "---\nname: b\nspec:\n  no_such: 1\n",
       "/a.yaml, document 2, line 7: spec.no_such: there is no such field"},
      {"a.yaml", "---\n" + std::string(kEcho) + "}\n",
       "/a.yaml, document 1, line 2: name: it is required"},
      {"a.yaml", Yaml("A_1"),
       "/a.yaml, document 1, line 2: name: must match "
       "[a-z]([a-z0-9-]{0,61}[a-z0-9])?"},
      {"a.yaml",
       "name: a\nspec:\n  handler: {echo: {}}\n  where_to_listen:\n    inet:\n"
       "      address: localhost\n      port: 65536\n",
       "/a.yaml, document 1, line 7: spec.where_to_listen.inet.port: must be "
       "0-65535"},
      {"a.yaml", Yaml("a") + Yaml("a"),
       "/a.yaml, document 2, line 5: name: listeners/a is there already: "},
      {"a.yaml", "", "/a.yaml: no listener"},
      {"a.json", "{\"name\": \"a\",\n!", "/a.json: parse error at line 2"},
      {"a.textproto", "listeners {\n name: 'a'\n none: 1 }",
       "/a.textproto, line 3: Message type \"portreeve.v1.Listener\" has no "
       "field named \"none\"."},
      {"a.textproto", Textproto("a") + "\n" + Textproto("-"),
       "/a.textproto, listeners[1], line 2: name: must match "},
      {"a.yaml", "# " + std::string(kMaxFileBytes, 'x'),
       "/a.yaml: it has more than 8 MiB"},
      {"a.yaml", "name: \xff\n", "/a.yaml, line 1: it is not UTF-8"},
  };
  for (const auto& [name, text, error] : kCases) {
    Write(name, text);
    const std::string found = Read();
    EXPECT_EQ(found.substr(0, error.size()), error);
    EXPECT_EQ(found.find('\n'), std::string::npos) << found;
    ASSERT_EQ(unlink(folder_.File(name).c_str()), 0);
  }
}

TEST_F(ListenerDirectoryTest, AnIdIsInOneFileOnly) {
  Write("b.yaml", Yaml("a") + Yaml("web"));
  Write("c.json", Json("web"));
  EXPECT_EQ(Read(), "/c.json: name: listeners/web is there already: " +
                        folder_.File("b.yaml") + ", document 2, line 5");
}

TEST_F(ListenerDirectoryTest, ReadsNothingButFiles) {
  ASSERT_EQ(mkfifo(folder_.File("web.yaml").c_str(), 0600), 0);
  EXPECT_EQ(Read(), "/web.yaml: it is not a regular file");
  ASSERT_EQ(unlink(folder_.File("web.yaml").c_str()), 0);
  ASSERT_EQ(symlink("/dev/zero", folder_.File("web.yaml").c_str()), 0);
  EXPECT_EQ(Read(), "/web.yaml: it is not a regular file");
}

TEST_F(ListenerDirectoryTest, ANameThatNoLabelTakesIsWrong) {
  Write("\xff.yaml", Yaml("web"));
  EXPECT_EQ(Read(), "/\xff.yaml: its name is not UTF-8");
}

TEST_F(ListenerDirectoryTest, TheDirectoryMustBeOne) {
  const auto missing = ReadListenerDirectory(folder_.File("none"));
  EXPECT_EQ(missing.status().message(),
            folder_.File("none") + ": No such file or directory");
  Write("file", "");
  const auto file = ReadListenerDirectory(folder_.File("file"));
  EXPECT_EQ(file.status().message(),
            folder_.File("file") + ": Not a directory");
}

}  // namespace
}  // namespace portreeve::server
