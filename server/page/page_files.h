// The files of the page that shows what the daemon does, for browsers.
#ifndef PORTREEVE_SERVER_PAGE_PAGE_FILES_H_
#define PORTREEVE_SERVER_PAGE_PAGE_FILES_H_

#include <string_view>
#include <vector>

#include "server/http/http_message.h"

namespace portreeve::server {

// A file, as it was when the daemon was built.
struct PageFile {
  const char* path;  // "/page.js"; of the page itself "/".
  const char* content_type;
  const char* etag;  // Of its bytes, with the quotes.
  std::string_view bytes;
};

// Gives all of them.  embed.py has made this function.
std::vector<PageFile> PageFiles();

// Makes the page that answers with `file`: with 304 and nothing where the
// client has it already.  A browser keeps it, and asks before each use.
HttpPage PageOf(const PageFile& file);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_PAGE_PAGE_FILES_H_
