// From a Document to the listeners that it describes.
#ifndef PORTREEVE_LISTENER_FILES_LISTENER_DOCUMENT_H_
#define PORTREEVE_LISTENER_FILES_LISTENER_DOCUMENT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "listener_files/document.h"
#include "listener_files/listener_file.h"

namespace portreeve {

// Gives the listeners of a document: it is one, or has them in `listeners`.
// `place` names the document.
//
// Errors: INVALID_ARGUMENT, with the place, the line and the field, for one
// that is unknown, that is there twice by both of its names, or that has a
// value of another type.
absl::StatusOr<std::vector<WantedListener>> ListenersOf(
    const Document& document, const std::string& place);

}  // namespace portreeve

#endif  // PORTREEVE_LISTENER_FILES_LISTENER_DOCUMENT_H_
