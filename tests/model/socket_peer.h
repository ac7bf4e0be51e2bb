// SocketPeer: a socket that follows a script.
#ifndef PORTREEVE_TESTS_MODEL_SOCKET_PEER_H_
#define PORTREEVE_TESTS_MODEL_SOCKET_PEER_H_

#include <cstdint>

#include "tests/model/content.h"
#include "tests/model/history.h"
#include "tests/model/script_run.h"

namespace portreeve::model {

// Non-blocking: whoever has it polls the descriptor for events(), and calls
// Advance() then and every millisecond or so.
class SocketPeer {
 public:
  // Takes `fd`, a stream socket that is connected or connecting.
  SocketPeer(int fd, const SidePlan& plan, Content sends, Content receives);
  SocketPeer(const SocketPeer&) = delete;
  SocketPeer& operator=(const SocketPeer&) = delete;
  ~SocketPeer() { Close(); }

  int fd() const { return fd_; }
  short events(TimePoint now) const;

  // `revents` is what poll(2) has told of it.
  void Advance(TimePoint now, short revents);
  // The connection is over, for all that others know.
  void NoteOver() { run_.ReadAll(); }

  // Closes it, whatever is left.
  void GiveUp() { Close(); }

  bool finished() const { return fd_ < 0; }
  const SideHistory& history() const { return history_; }

 private:
  // These give whether there may be more to do at once.
  bool DoStep(const Step& step, TimePoint now);
  bool SendSome(const Step& step, TimePoint now);
  bool SendUrgent(TimePoint now);
  void OnSendFailure(int error);
  void Leave(bool with_reset);
  bool ReadSome(size_t most);
  void Read(TimePoint now);
  void OnEnd(SideHistory::End end);
  void Close();

  int fd_;
  const Content sends_;
  const Content receives_;
  ScriptRun run_;
  SideHistory history_;
  int64_t step_sent_ = 0;   // Of the current kSend.
  TimePoint last_sent_;     // When the kernel took some of it.
  bool blocked_ = false;    // The kernel takes no more.
  bool was_reset_ = false;  // As a send(2) has told.
  TimePoint next_slow_read_;
};

}  // namespace portreeve::model

#endif  // PORTREEVE_TESTS_MODEL_SOCKET_PEER_H_
