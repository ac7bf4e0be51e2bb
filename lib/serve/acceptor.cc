#include "lib/serve/acceptor.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/guarded.h"
#include "lib/base/socket_calls.h"
#include "lib/base/status.h"

namespace portreeve {
namespace {

// The pause before accept(2) is tried again, where the process or the machine
// has run out of descriptors or memory; it doubles each time.
constexpr std::chrono::milliseconds kFirstPause{50};
constexpr std::chrono::milliseconds kLongestPause{1000};

// How many batches one step may take where clients are known to queue up, if
// the clients of each batch are served before the next one.  With 64 the
// clients that are there already wait too long; with 4 accepting costs no more
// than it must.
constexpr int kBatchesPerStep = 4;

// The time between two reports of the same thing.
constexpr std::chrono::minutes kReportInterval{1};

// Whether this is an error of the one client that was to be accepted, or of the
// network (accept(2)), so that the next may succeed.
bool IsOfTheClient(int error_number) {
  switch (error_number) {
    case ECONNABORTED:
    case EINTR:
    case EPERM:  // A rule of the firewall.
    case EPROTO:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ETIMEDOUT:
      return true;
    default:
      return false;
  }
}

bool IsShortage(int error_number) {
  return error_number == EMFILE || error_number == ENFILE ||
         error_number == ENOBUFS || error_number == ENOMEM;
}

}  // namespace

Acceptor::Acceptor(Owner& owner, const Executor& executor,
                   ListeningSocket socket, AcceptPolicy::Limits limits,
                   DescriptorBudget* budget, int descriptors_per_client)
    : owner_(owner),
      budget_(budget),
      policy_(limits),
      descriptors_per_client_(descriptors_per_client),
      pause_(kFirstPause),
      socket_(std::move(socket)),
      poller_(Poller::Of(LoopOf(executor))),
      time_(TimeSource::Of(executor)),
      pause_timer_(time_) {
  if (budget_ != nullptr) {
    budget_waiter_.emplace(*budget_, [this] { Pump(); });
  }
}

Acceptor::Acceptor(Owner& owner, const Executor& executor,
                   ListeningSocket socket, const FrozenAcceptor& frozen,
                   DescriptorBudget* budget, int descriptors_per_client)
    : Acceptor(owner, executor, std::move(socket), frozen.limits, budget,
               descriptors_per_client) {
  policy_.SetDropIncoming(frozen.drop_incoming);
  if (!socket_.is_open()) policy_.OnClose();
  enabled_ = frozen.accepting;
  limit_reached_total_ = frozen.limit_reached_total;
  accept_errors_total_ = frozen.accept_errors_total;
  last_limit_report_ = frozen.limit_reported;
  for (const FrozenAcceptor::Error& error : frozen.errors) {
    error_reports_[error.error_number] = {error.reported, error.count};
  }
}

Acceptor::~Acceptor() { PORTREEVE_CHECK(policy_.closed() || !started_); }

int Acceptor::Start() {
  const int error = socket_.SetWatched(*this, true);
  if (error != 0) {
    socket_.Close();
    return error;
  }
  started_ = true;
  Pump();
  UpdateWatch();
  return 0;
}

void Acceptor::Pump() {
  // The end of a batch calls this anyway.
  if (in_batch_ || !enabled_ || broken_ || pause_timer_.armed()) return;
  if (!socket_.is_owned()) return;
  if (policy_.NextBatch() == 0) return;
  if (!HaveDescriptors()) return;
  policy_.OnWaitStarted();
  UpdateWatch();
}

void Acceptor::UpdateWatch() {
  // An owner that was called may have closed it.
  if (policy_.closed() || broken_) return;
  const int error = socket_.SetWatched(*this, policy_.waiting_for_socket());
  if (error == 0 || !policy_.waiting_for_socket()) return;
  policy_.OnWaitEnded();
  ReportError(error);
  Pause();
}

void Acceptor::SetEnabled(bool enabled) {
  enabled_ = enabled;
  Pump();
}

void Acceptor::GiveBackDescriptors(int count) {
  if (budget_ != nullptr) budget_->GiveBack(count);
  // A descriptor is free again, so that there is no need to wait for the
  // pause's end.
  pause_timer_.Cancel();
  Pump();
}

void Acceptor::OnReady(uint32_t events, int) {
  // The socket was shut down, by whoever else has its descriptor.  Epoll
  // reports that in each round, whether it is asked or not, and accept(2) of a
  // unix socket does not.
  if ((events & (EPOLLHUP | EPOLLRDHUP)) != 0 && !policy_.closed()) {
    return Break(EINVAL);
  }
  // It may have been closed, or stopped, earlier in this step.
  if (!policy_.waiting_for_socket()) return;
  policy_.OnWaitEnded();
  in_batch_ = true;
  Guarded([this] { AcceptBatches(); });
  in_batch_ = false;
  // The handlers of this batch begin before the next one.
  if (policy_.num_accepted() > 0) poller_.EndStep();
  if (policy_.closed()) return;
  if (policy_.at_limit()) ReportLimit();
  Pump();
  UpdateWatch();
}

void Acceptor::AcceptBatches() {
  // If epoll has reported clients in two rounds running, they queue up; else a
  // second accept4(2) would be for nothing.
  const bool clients_queue = last_round_ + 1 == poller_.round();
  last_round_ = poller_.round();
  for (int i = clients_queue ? kBatchesPerStep : 1; i > 0; --i) {
    if (!AcceptBatch() || policy_.num_accepted() > 0) break;
  }
}

bool Acceptor::AcceptBatch() {
  // A client of the batch may change what is allowed, so that the policy is
  // asked again.
  for (int i = policy_.limits().max_accepts_per_batch; i > 0; --i) {
    if (!enabled_ || policy_.NextBatch() == 0 || !AcceptOne()) return false;
  }
  return true;
}

bool Acceptor::AcceptOne() {
  if (!HaveDescriptors()) return false;
  int error_number = 0;
  auto accepted = socket_.Accept(&error_number);
  if (!accepted) return OnAcceptError(error_number);
  if (budget_ != nullptr) budget_->Take(descriptors_per_client_);
  pause_ = kFirstPause;
  policy_.OnAccepted();
  owner_.OnClient(std::move(accepted->fd), accepted->peer);
  return true;
}

bool Acceptor::HaveDescriptors() {
  if (budget_ == nullptr || budget_->Has(descriptors_per_client_)) return true;
  budget_waiter_->Join(descriptors_per_client_);
  ReportError(EMFILE);
  return false;
}

bool Acceptor::OnAcceptError(int error_number) {
  if (WouldBlock(error_number)) return false;
  if (IsOfTheClient(error_number)) return true;
  if (IsShortage(error_number)) {
    ReportError(error_number);
    Pause();
    return false;
  }
  Break(error_number);
  return false;
}

void Acceptor::Break(int error_number) {
  broken_ = true;
  ++accept_errors_total_;
  // Epoll would report a socket that was shut down for as long as it is open,
  // and the owner may leave it open.
  socket_.StopWatching();
  owner_.OnBroken(
      ErrnoError(error_number, "accept", ToString(socket_.address())));
}

void Acceptor::Pause() {
  if (policy_.closed()) return;
  pause_timer_.StartAfter(pause_, [this] { Pump(); });
  pause_ = std::min<Duration>(pause_ * 2, kLongestPause);
}

void Acceptor::ReportError(int error_number) {
  ++accept_errors_total_;
  ErrorReport& report = error_reports_[error_number];
  ++report.count;
  const TimePoint now = time_.Now();
  if (report.last && now - *report.last < kReportInterval) return;
  report.last = now;
  owner_.OnAcceptFailed(error_number, std::exchange(report.count, 0));
}

void Acceptor::ReportLimit() {
  ++limit_reached_total_;
  const TimePoint now = time_.Now();
  if (last_limit_report_ && now - *last_limit_report_ < kReportInterval) {
    return;
  }
  last_limit_report_ = now;
  owner_.OnLimitReached(policy_.limits().max_connections);
}

void Acceptor::StopAccepting() {
  if (policy_.waiting_for_socket()) policy_.OnWaitEnded();
  policy_.OnClose();
  pause_timer_.Cancel();
  if (budget_waiter_) budget_waiter_->Leave();
}

void Acceptor::Close() {
  if (policy_.closed()) return;
  StopAccepting();
  socket_.Close();
  owner_.OnIdle();
}

FrozenAcceptor Acceptor::Freeze() const {
  FrozenAcceptor frozen;
  frozen.socket = socket_.Freeze();
  frozen.limits = policy_.limits();
  frozen.drop_incoming = policy_.drop_incoming();
  frozen.accepting = enabled_;
  frozen.limit_reached_total = limit_reached_total_;
  frozen.accept_errors_total = accept_errors_total_;
  frozen.limit_reported = last_limit_report_;
  for (const auto& [error_number, report] : error_reports_) {
    frozen.errors.push_back({error_number, report.last, report.count});
  }
  return frozen;
}

void Acceptor::Own() {
  socket_.Own();
  Pump();
}

void Acceptor::HandOver() {
  if (policy_.closed()) return;
  StopAccepting();
  socket_.Forget();
}

}  // namespace portreeve
