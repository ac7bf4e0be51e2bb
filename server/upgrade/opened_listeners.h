// OpenedListeners: which listeners of flags and files a daemon has opened.
#ifndef PORTREEVE_SERVER_UPGRADE_OPENED_LISTENERS_H_
#define PORTREEVE_SERVER_UPGRADE_OPENED_LISTENERS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace portreeve::server {

// It goes on from process to process, so that the next one opens those that
// are new to the daemon, and none that somebody has closed since.
// Threads: one at a time.
class OpenedListeners {
 public:
  // How many are remembered in the next process; it may open those beyond that
  // anew where they were closed.
  static constexpr size_t kMostSaved = 4000;

  // What a listener is known by: the text of a flag, or the id of one in a
  // file.
  enum class Source { kFlag, kFile };

  // Notes one that this process has.  Where there are several alike, each is
  // another.  Gives whether the daemon has not had it before.
  bool Note(Source source, const std::string& text);

  std::vector<uint64_t> Save() const;
  // Those of the process before, as Save() gives them.
  void Restore(const std::vector<uint64_t>& saved);

 private:
  std::set<uint64_t> opened_;
  std::map<std::string, int> counts_;  // In this process, by what it is.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_UPGRADE_OPENED_LISTENERS_H_
