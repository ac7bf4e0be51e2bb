// Acceptor: takes clients from a listening socket, as AcceptPolicy allows
// (docs/CONFORMANCE.md, S5, S6 and S10).
#ifndef PORTREEVE_LIB_SERVE_ACCEPTOR_H_
#define PORTREEVE_LIB_SERVE_ACCEPTOR_H_

#include <cstdint>
#include <map>
#include <optional>

#include "absl/status/status.h"
#include "lib/base/asio.h"
#include "lib/base/descriptor.h"
#include "lib/base/poller.h"
#include "lib/base/time_source.h"
#include "lib/net/address.h"
#include "lib/net/descriptor_budget.h"
#include "lib/serve/accept_policy.h"
#include "lib/serve/frozen_server.h"
#include "lib/serve/listening_socket.h"

namespace portreeve {

// Threads: loop thread only.
// Lifetime: destroying it after Start() and before Close() is a CHECK failure.
class Acceptor final : private Poller::Watch {
 public:
  // What the acceptor reports to its owner, who may call the acceptor.
  class Owner {
   public:
    virtual ~Owner() = default;
    // A client was accepted, and counted by the policy's OnAccepted(); the
    // owner must call OnStart() for it, now or in a later step.
    virtual void OnClient(Descriptor fd, const AnyAddress& peer) = 0;
    // The limit is reached; this is reported once a minute at most.
    virtual void OnLimitReached(int limit) = 0;
    // accept(2) failed `count` times since the last such call, and will be
    // tried again, or as many clients could not be watched; this is reported
    // once a minute at most for each error.
    virtual void OnAcceptFailed(int error_number, int64_t count) = 0;
    // accept(2) failed for good, or the socket was shut down by whoever else
    // has its descriptor.  Nothing is accepted any more, and nothing else is
    // reported; the owner has to call Close().  This is called once at most.
    virtual void OnBroken(absl::Status error) = 0;
    // The socket is closed.
    virtual void OnIdle() = 0;
  };

  Acceptor(Owner& owner, const Executor& executor, ListeningSocket socket,
           AcceptPolicy::Limits limits, DescriptorBudget* budget,
           int descriptors_per_client);
  // Goes on from what an acceptor of another process was.  `socket` is that of
  // ListeningSocket::Resume(); where it is closed the policy is, too.  Nobody
  // is accepted before Own().
  Acceptor(Owner& owner, const Executor& executor, ListeningSocket socket,
           const FrozenAcceptor& frozen, DescriptorBudget* budget,
           int descriptors_per_client);
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;
  ~Acceptor();

  // Has the loop watch the socket, and calls Pump().  It must be called first,
  // and once.  Gives 0, or errno where the socket cannot be watched: then it is
  // closed, and nothing is reported.
  int Start();

  // Begins to wait for clients, if the policy and the budget allow some and it
  // does not wait yet.  It must be called after each change that may allow
  // more.
  void Pump();

  // While false, clients stay in the backlog.
  void SetEnabled(bool enabled);

  // Sets how many descriptors of the budget each client takes that is accepted
  // from now on.
  void SetDescriptorsPerClient(int count) { descriptors_per_client_ = count; }
  int descriptors_per_client() const { return descriptors_per_client_; }
  // Gives back the `count` descriptors of a client that is through.
  void GiveBackDescriptors(int count);

  // Counts a client that was accepted and could not be watched, which is
  // reported as a failure of accept(2) is.
  void NoteUnwatched(int error_number) { ReportError(error_number); }

  // Closes the socket and the policy.  OnIdle() is called within this call.
  void Close();

  FrozenAcceptor Freeze() const;
  // Takes the socket over, and calls Pump().
  void Own();
  // Closes the policy, and has the socket forgotten
  // (ListeningSocket::Forget()). OnIdle() is not called.
  void HandOver();

  // How many times accepting has stopped at the limit, and how many times it
  // has failed: what Owner::OnLimitReached() and OnAcceptFailed() report
  // together once a minute, and OnBroken().
  int64_t limit_reached_total() const { return limit_reached_total_; }
  int64_t accept_errors_total() const { return accept_errors_total_; }

  AcceptPolicy& policy() { return policy_; }
  const AcceptPolicy& policy() const { return policy_; }
  ListeningSocket& socket() { return socket_; }
  const ListeningSocket& socket() const { return socket_; }

 private:
  struct ErrorReport {
    std::optional<TimePoint> last;
    int64_t count = 0;
  };

  void OnReady(uint32_t events, int tag) override;
  void AcceptBatches();
  // Has the socket watched exactly while the policy says that it waits for it.
  void UpdateWatch();
  // Gives false when accepting has to stop for this step.
  bool AcceptBatch();
  // Gives false when there is nothing more to accept in this step.
  bool AcceptOne();
  // Gives false if there are too few, and then waits in the budget's queue.
  bool HaveDescriptors();
  void StopAccepting();
  // Gives false if accepting has to stop for now.
  bool OnAcceptError(int error_number);
  void Pause();
  void Break(int error_number);
  void ReportError(int error_number);
  void ReportLimit();

  Owner& owner_;
  DescriptorBudget* const budget_;
  AcceptPolicy policy_;
  int descriptors_per_client_;
  bool enabled_ = true;
  bool started_ = false;
  bool broken_ = false;
  bool in_batch_ = false;
  int64_t last_round_ = 0;  // The poller's, when the last one was accepted.
  Duration pause_;
  int64_t limit_reached_total_ = 0;
  int64_t accept_errors_total_ = 0;
  std::optional<TimePoint> last_limit_report_;
  std::map<int, ErrorReport> error_reports_;
  ListeningSocket socket_;
  Poller& poller_;
  TimeSource& time_;
  Timer pause_timer_;
  std::optional<DescriptorBudget::Waiter> budget_waiter_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_SERVE_ACCEPTOR_H_
