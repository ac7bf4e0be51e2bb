// AcceptPolicy: when a server may call accept, and what becomes of a socket
// (docs/CONFORMANCE.md, S3, S5 and S13).  It has no sockets, no clock and no
// threads.
#ifndef PORTREEVE_LIB_SERVE_ACCEPT_POLICY_H_
#define PORTREEVE_LIB_SERVE_ACCEPT_POLICY_H_

namespace portreeve {

// The life of a client, as the policy counts it:
//
//   OnAccepted() -> OnStart() -> kHandle -> connected -> OnFinished()
//                          -> kDrop      (never counted)
//                          -> kCloseAtOnce (never counted)
//   OnHeld() ----------------------------> connected -> OnFinished()
//
// What becomes of a client is decided in OnStart(), in the step that calls its
// handler, which may come after that of the accept.  So a close in between is
// obeyed, also for clients of the same batch.
class AcceptPolicy {
 public:
  struct Limits {
    int max_connections;        // >= 1
    int max_accepts_per_batch;  // >= 1

    friend bool operator==(const Limits&, const Limits&) = default;
  };
  enum class Verdict {
    kHandle,       // Call the handler.
    kDrop,         // Incoming connections are dropped.
    kCloseAtOnce,  // The server was closed meanwhile.
  };

  explicit AcceptPolicy(Limits limits);

  // Gives how many clients may be accepted now; 0 if the server is closed,
  // full, or waiting for the socket already.
  int NextBatch() const;

  // Waiting for the listening socket to become readable has begun, or has
  // ended.
  void OnWaitStarted();
  void OnWaitEnded();

  // One client was accepted; no more may be than NextBatch() allowed since the
  // wait ended.
  void OnAccepted();

  // Decides what becomes of the next client that was accepted.
  Verdict OnStart();
  // One more client is connected, which another process has accepted.  It
  // counts as any other, also where there is no place for it, and once closed.
  void OnHeld();
  // A client of kHandle is through, and its descriptor is closed; or one of
  // OnHeld() is.
  void OnFinished();

  void OnClose();

  // Changes the limits for clients that are accepted afterwards; nobody is
  // closed.
  void SetLimits(Limits limits);
  // Changes the verdict from the next OnStart() on.
  void SetDropIncoming(bool drop) { drop_incoming_ = drop; }

  bool drop_incoming() const { return drop_incoming_; }
  bool closed() const { return closed_; }
  bool waiting_for_socket() const { return wait_pending_; }
  int num_connections() const { return num_connections_; }
  // How many clients were accepted, and not yet decided on.
  int num_accepted() const { return num_accepted_; }
  const Limits& limits() const { return limits_; }
  // Whether clients in the backlog have to wait until one that is connected has
  // left.
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
  // The present limit or, while there are more clients than that because it was
  // lowered or they were let in elsewhere, what they were let in by.
  int highest_limit_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_SERVE_ACCEPT_POLICY_H_
