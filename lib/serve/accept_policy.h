// AcceptPolicy: when a server may call accept, and what becomes of a socket
// (SPEC S3, S5, S13).  No sockets, no clock, no threads.
#ifndef PORTREEVE_LIB_SERVE_ACCEPT_POLICY_H_
#define PORTREEVE_LIB_SERVE_ACCEPT_POLICY_H_

namespace portreeve {

// The life of a client, as the policy counts it:
//
//   OnAccepted() -> OnStart() -> kHandle -> connected -> OnFinished()
//                          -> kDrop      (never counted)
//                          -> kCloseAtOnce (never counted)
//
// The handler of a client starts in a step of its own after the accept, and is
// decided there, so that a close in between is obeyed, also for clients of the
// same batch.
class AcceptPolicy {
 public:
  struct Limits {
    int max_connections;        // >= 1
    int max_accepts_per_batch;  // >= 1
  };
  enum class Verdict {
    kHandle,       // Call the handler.
    kDrop,         // Incoming connections are dropped.
    kCloseAtOnce,  // The server was closed meanwhile.
  };

  explicit AcceptPolicy(Limits limits);

  // How many clients may be accepted now.  0: closed, full, or waiting for
  // the socket already.
  int NextBatch() const;

  // Waiting for the listening socket to become readable begins, and ends.
  void OnWaitStarted();
  void OnWaitEnded();

  // One client was accepted, within what NextBatch() allowed since the wait
  // ended.
  void OnAccepted();

  // The step of the next accepted client has come.
  Verdict OnStart();
  // A client of kHandle is through: its descriptor is closed.
  void OnFinished();

  void OnClose();

  // Take effect for what is accepted afterwards; nobody is closed.
  void SetLimits(Limits limits);
  // Takes effect for the next OnStart().
  void SetDropIncoming(bool drop) { drop_incoming_ = drop; }

  bool closed() const { return closed_; }
  bool waiting_for_socket() const { return wait_pending_; }
  int num_connections() const { return num_connections_; }
  // Accepted, and not yet at OnStart().
  int num_accepted() const { return num_accepted_; }
  const Limits& limits() const { return limits_; }
  // True when clients in the backlog have to wait for one that is connected.
  bool at_limit() const { return free_slots() <= 0; }

  // CHECKs what must always hold.
  void CheckInvariants() const;

 private:
  int free_slots() const;

  Limits limits_;
  bool closed_ = false;
  bool drop_incoming_ = false;
  bool wait_pending_ = false;
  int num_accepted_ = 0;
  int num_connections_ = 0;
  // The present limit, or while more clients than that are there because it was
  // lowered, the one that let them in.
  int highest_limit_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_SERVE_ACCEPT_POLICY_H_
