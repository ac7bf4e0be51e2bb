// LogQueue: keeps the lines that wait for one output of the log, and lets them
// go out whole.  It has no descriptors and no threads.
#ifndef PORTREEVE_SERVER_DAEMON_LOG_QUEUE_H_
#define PORTREEVE_SERVER_DAEMON_LOG_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace portreeve::server {

// A line goes out as a whole: where an error of the output has torn one, the
// line is ended there, and goes out again from its beginning.  So lines are
// never joined, and those that got in are never lost.
//
// Whoever writes asks for a piece with Next(), and before the next one reports
// what became of it with OnWritten(), OnFailure() or OnReopened().
class LogQueue {
 public:
  // Gives the line, without a line feed, that says how many were dropped.
  using Note = std::function<std::string(int64_t dropped)>;

  // The queue keeps at most `capacity` bytes, and one note.
  LogQueue(size_t capacity, Note note)
      : capacity_(capacity), note_(std::move(note)) {}

  // Adds `line`, which has no line feed at its end; line feeds within it become
  // spaces.  A line that does not fit is dropped and counted, and so are those
  // that follow it until what waits has gone out; the note goes out in their
  // place.  One for which there is no memory does not fit.  Gives whether it
  // did.
  bool Add(std::string_view line);
  // Counts a line as dropped that nobody could make.
  void AddDropped() { ++dropped_; }

  // False if there is something to write.
  bool empty() const { return InBetween() && queued_.empty() && dropped_ == 0; }
  // True before the first piece of a batch.  A batch is all that has come by
  // the time it begins.
  bool InBetween() const { return begin_ == batch_.size(); }

  // Gives what has to be written next, "" if the queue is empty: whole lines,
  // or where not even one fits into `most` bytes, a piece of it.  Add() leaves
  // it in place.
  std::string_view Next(size_t most);

  // The first `size` bytes of what Next() gave were written.
  void OnWritten(size_t size);
  // They could not be written.
  void OnFailure();
  // The output is another file now, or the same one opened anew.
  void OnReopened(bool same_file);

 private:
  bool IsWithinLine() const { return begin_ > 0 && batch_[begin_ - 1] != '\n'; }
  void TakeBatch();

  const size_t capacity_;
  const Note note_;
  std::string queued_;
  int64_t dropped_ = 0;  // Lines that came after those that are queued.
  std::string batch_;    // The batch that is being written.
  size_t begin_ = 0;     // Where in the batch begins what is not written yet.
  // The output ends in the middle of a line that has to go out again.
  bool torn_ = false;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_LOG_QUEUE_H_
