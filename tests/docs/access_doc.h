// The table in docs/ACCESS.md, from server/access/access_table.h.
#ifndef PORTREEVE_TESTS_DOCS_ACCESS_DOC_H_
#define PORTREEVE_TESTS_DOCS_ACCESS_DOC_H_

#include <string>

namespace portreeve::testing {

// `document` with the table of today between its two marks.  Unchanged where
// it has no such marks.
std::string WithAccessTable(const std::string& document);

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_DOCS_ACCESS_DOC_H_
