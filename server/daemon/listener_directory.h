// The directory of --listeners: the listeners that its files describe.
#ifndef PORTREEVE_SERVER_DAEMON_LISTENER_DIRECTORY_H_
#define PORTREEVE_SERVER_DAEMON_LISTENER_DIRECTORY_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "listener_files/listener_file.h"
#include "server/api/listener_draft.h"

namespace portreeve::server {

struct FileListener {
  WantedListener wanted;  // As the file has it, and where.
  ListenerDraft draft;    // The same, checked, with the label of its file.
};

// Reads the files of `directory` whose names say that they are files of
// listeners, in the order of their names, by bytes.  Passed over are hidden
// files, those with other endings, and directories.  It blocks.
//
// Errors: one line, which begins with the path, and has the line where the
// format has one: for what cannot be read, is no file, or has what
// ParseListeners() or the daemon refuses; and for an ID that is there twice.
absl::StatusOr<std::vector<FileListener>> ReadListenerDirectory(
    const std::string& directory);

// Gives `error`, which says why `listener` cannot be opened, with the place in
// the file.
absl::Status AtItsPlace(const FileListener& listener,
                        const absl::Status& error);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_LISTENER_DIRECTORY_H_
