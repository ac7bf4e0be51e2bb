// From a Document to the listeners that it describes.
#ifndef PORTREEVE_CLIENT_CLI_LISTENER_DOCUMENT_H_
#define PORTREEVE_CLIENT_CLI_LISTENER_DOCUMENT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/document.h"
#include "client/cli/listener_file.h"

namespace portreeve::cli {

// Gives the listeners of a document: it is one, or has them in `listeners`.
// `place` names the document.
//
// Errors: INVALID_ARGUMENT, with the place, the line and the field, for one
// that is unknown, that is there twice by both of its names, or that has a
// value of another type.
absl::StatusOr<std::vector<WantedListener>> ListenersOf(
    const Document& document, const std::string& place);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_LISTENER_DOCUMENT_H_
