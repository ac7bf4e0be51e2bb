// The files of the page: that all are there, as browsers want them, and name
// nothing else.
#include "server/page/page_files.h"

#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace portreeve::server {
namespace {

HttpAnswer Ask(const PageFile& file, std::optional<std::string> has = {}) {
  HttpRequest request;
  request.path = file.path;
  request.if_none_match = std::move(has);
  HttpAnswer answer;
  PageOf(file)(request, [&](HttpAnswer given) { answer = std::move(given); });
  return answer;
}

PageFile FileAt(std::string_view path) {
  for (const PageFile& file : PageFiles()) {
    if (file.path == path) return file;
  }
  ADD_FAILURE() << "no " << path;
  return {"", "", "", ""};
}

TEST(PageFilesTest, ThePageHasAllThatItNames) {
  const PageFile page = FileAt("/");
  EXPECT_EQ(page.bytes.substr(0, 15), "<!doctype html>");
  EXPECT_NE(page.bytes.find("href=\"/page.css\""), page.bytes.npos);
  EXPECT_NE(page.bytes.find("src=\"/page.js\""), page.bytes.npos);
  EXPECT_STREQ(page.content_type, "text/html; charset=utf-8");
  EXPECT_STREQ(FileAt("/page.css").content_type, "text/css; charset=utf-8");
  EXPECT_STREQ(FileAt("/page.js").content_type,
               "text/javascript; charset=utf-8");
}

TEST(PageFilesTest, EveryModuleThatIsImportedIsThere) {
  std::set<std::string> paths;
  for (const PageFile& file : PageFiles()) {
    EXPECT_TRUE(paths.insert(file.path).second) << file.path;
  }
  int imports = 0;
  for (const PageFile& file : PageFiles()) {
    constexpr std::string_view kFrom = " from './";
    for (size_t at = file.bytes.find(kFrom); at != file.bytes.npos;
         at = file.bytes.find(kFrom, at + 1)) {
      const size_t begin = at + kFrom.size();
      const std::string name(
          file.bytes.substr(begin, file.bytes.find('\'', begin) - begin));
      EXPECT_EQ(paths.count("/" + name), 1u) << file.path << ": " << name;
      ++imports;
    }
  }
  EXPECT_GT(imports, 10);
}

TEST(PageFilesTest, NothingComesFromElsewhere) {
  for (const PageFile& file : PageFiles()) {
    std::string text(file.bytes);
    // The name of a namespace, which nobody loads.
    const std::string svg = "http://www.w3.org/2000/svg";
    if (const size_t at = text.find(svg); at != text.npos) {
      text.erase(at, svg.size());
    }
    for (const char* place :
         {"http:", "https:", "url(", "innerHTML", "eval("}) {
      EXPECT_EQ(text.find(place), text.npos) << file.path << ": " << place;
    }
  }
}

TEST(PageFilesTest, WhoHasAFileIsToldSo) {
  const PageFile file = FileAt("/page.js");
  const HttpAnswer first = Ask(file);
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(first.body, file.bytes);
  const std::string etag = file.etag;
  EXPECT_EQ(etag.size(), 66u);
  const HttpAnswer again = Ask(file, etag);
  EXPECT_EQ(again.status, 304);
  EXPECT_EQ(again.body, "");
  EXPECT_EQ(again.headers, first.headers);
  EXPECT_EQ(first.headers[1].second, etag);
  EXPECT_EQ(Ask(file, "\"x\", W/" + etag).status, 304);
  EXPECT_EQ(Ask(file, "*").status, 304);
  EXPECT_EQ(Ask(file, "\"x\"").status, 200);
  EXPECT_EQ(Ask(file, "").status, 200);
  EXPECT_EQ(Ask(FileAt("/page.css"), etag).status, 200);
}

}  // namespace
}  // namespace portreeve::server
