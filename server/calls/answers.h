// Answers: the answers of a loop to unary RPCs, on their way to the clients.
#ifndef PORTREEVE_SERVER_CALLS_ANSWERS_H_
#define PORTREEVE_SERVER_CALLS_ANSWERS_H_

#include <grpcpp/grpcpp.h>

#include <boost/asio/io_context.hpp>
#include <boost/intrusive/list.hpp>

#include "lib/base/handler_memory.h"
#include "lib/base/mutex.h"
#include "server/calls/unread_answers.h"

namespace portreeve::server {

namespace asio = boost::asio;

// To finish an RPC costs as much as to serve one, and wakes a thread of gRPC,
// which takes the CPU from the loop or waits for what the loop holds within
// gRPC.  So the answers of a step of the loop are given together, and as soon
// as a thread of gRPC is awake, it gives those that are left.
//
// There is one for each io_context: Of() finds or makes it.
class Answers {
 public:
  static Answers& Of(asio::io_context& loop);

  explicit Answers(asio::io_context& loop);
  Answers(const Answers&) = delete;
  Answers& operator=(const Answers&) = delete;

  // Those of the same loop.  They are here so that a call has to look up only
  // one service of the loop.
  UnreadAnswers& unread() { return unread_; }

  // The daemon goes on in another process: from now on calls are answered with
  // MOVED, whatever they ask for, and those that wait, too.
  // Threads: the loop's, or any while that stands still.
  void SetMoved() { moved_ = true; }
  bool moved() const { return moved_; }
  // Why a call is refused, or ended, since the daemon goes.
  absl::Status Refusal() const;

  // A call that waits for something; it leaves as it is destroyed.
  class Waiting
      : public boost::intrusive::list_base_hook<
            boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
   public:
    // Answers it, which may be soon.
    virtual void EndWait() = 0;

   protected:
    ~Waiting() = default;
  };
  // Has EndWaits() end that of `call`.
  // Threads: the loop's, and so is EndWaits(), and the end of a call.
  void AddWaiting(Waiting& call) { waiting_.push_back(call); }
  void EndWaits();

  // One call's answer, which is kept with the call: a call without one would
  // wait for ever, and so none needs memory here.
  struct Answer {
    grpc::ServerUnaryReactor* reactor = nullptr;
    grpc::Status status;
    Answer* next = nullptr;  // Of Answers.
  };

  // Finishes the reactor of `answer` with its status, after this step of the
  // loop, on any thread.  `answer` lives until the reactor's OnDone().
  // Threads: the loop's.
  void Add(Answer& answer);

  // Gives all answers that are due by now.  It never waits for the loop.
  // Threads: any.
  void Give();

 private:
  // A list, the oldest first.
  struct List {
    void Append(const List& more);
    Answer* TakeFirst();  // Null: it is empty.

    Answer* first = nullptr;
    Answer* last = nullptr;
  };

  Answer* Next();

  asio::io_context& loop_;
  UnreadAnswers& unread_;
  bool moved_ = false;
  boost::intrusive::list<Waiting, boost::intrusive::constant_time_size<false>>
      waiting_;
  List of_this_step_;  // The loop's.
  HandlerMemory memory_;
  Mutex mutex_;
  List due_ PORTREEVE_GUARDED_BY(mutex_);
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_ANSWERS_H_
