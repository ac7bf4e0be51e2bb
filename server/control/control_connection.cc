#include "server/control/control_connection.h"

#include <pwd.h>
#include <sys/ioctl.h>

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/net/peer_credentials.h"
#include "lib/net/tcp_facts.h"

namespace portreeve::server {
namespace {

int Unread(int fd) {
  int bytes = 0;
  (void)ioctl(fd, FIONREAD, &bytes);
  return bytes;
}

// Throws away what a socket has received, which may be enough for thousands of
// calls.  Its descriptor does not block.
void ThrowAway(int fd) {
  char space[16 << 10];
  while (recv(fd, space, sizeof space, MSG_DONTWAIT) > 0) {
  }
}

// Gives "" where the user has no name.
std::string NameOf(uid_t uid) {
  std::array<char, 4096> space;
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(uid, &entry, space.data(), space.size(), &found) != 0 ||
      found == nullptr) {
    return "";
  }
  return found->pw_name;
}

}  // namespace

ControlConnection::ControlConnection(Client client, Descriptor copy,
                                     Expected expected)
    : client_(std::move(client)),
      expected_(std::move(expected)),
      copy_(std::move(copy)) {}

const std::string& ControlConnection::Who() {
  if (!is_unix()) return client_.address;
  std::call_once(name_once_, [this] {
    const std::string name = NameOf(client_.credentials->uid);
    who_ = name.empty() ? Identity() : absl::StrCat(Identity(), "(", name, ")");
  });
  return who_;
}

std::string ControlConnection::Identity() const {
  if (is_unix()) return absl::StrCat("unix:uid=", client_.credentials->uid);
  return client_.address.substr(0, client_.address.rfind(':'));
}

std::optional<std::vector<gid_t>> ControlConnection::Groups() const {
  const MutexLock lock(mutex_);
  if (!copy_.is_open()) return std::nullopt;
  return PeerGroups(copy_.get());
}

bool ControlConnection::BeginCall() {
  ++begun_;
  const int in_flight = ++in_flight_;
  // FloodPolicy::Look() judges the calls whose connections have ended.
  const int of_connections =
      FloodPolicy::OfConnections(carrying_, unjoined_, expected());
  return !FloodPolicy::TooManyCalls(in_flight, of_connections + ended_,
                                    answered_ - unjoined_ - ended_);
}

void ControlConnection::EndCall(bool cancelled) {
  --in_flight_;
  if (cancelled) ++cancelled_;
}

void ControlConnection::AddMessage(size_t bytes) {
  ++messages_;
  message_bytes_ += static_cast<int64_t>(bytes);
}

FloodPolicy::Totals ControlConnection::Totals() const {
  FloodPolicy::Totals totals;
  totals.begun = begun_;
  totals.cancelled = cancelled_;
  totals.messages = messages_;
  totals.message_bytes = message_bytes_;
  totals.sent = sent_;
  totals.in_flight = in_flight_;
  totals.carrying = carrying_;
  totals.unjoined = unjoined_;
  totals.ended = ended_;
  totals.most_of_connections = most_of_connections_;
  totals.expected = expected();
  totals.answered = answered_;
  const MutexLock lock(mutex_);
  if (!copy_.is_open()) return totals;
  totals.unread_bytes = Unread(copy_.get());
  if (is_unix()) return totals;
  const TcpFacts facts = TcpFactsOf(copy_.get());
  totals.received_bytes = facts.bytes_received;
  totals.received_segments = facts.segments_received;
  return totals;
}

int64_t ControlConnection::Activity(TimePoint now) const {
  const FloodPolicy::Totals totals = Totals();
  const MutexLock lock(mutex_);
  return activity_.Level(now, totals);
}

int64_t ControlConnection::Held(TimePoint now) const {
  const FloodPolicy::Totals totals = Totals();
  const MutexLock lock(mutex_);
  return activity_.Held(now, totals);
}

int64_t ControlConnection::SentOfLate(TimePoint now) const {
  const FloodPolicy::Totals totals = Totals();
  const MutexLock lock(mutex_);
  return activity_.Sent(now, totals);
}

int64_t ControlConnection::Unexplained() const {
  return ControlActivity::Unexplained(Totals());
}

int ControlConnection::Carried(TimePoint now) const {
  const MutexLock lock(mutex_);
  return activity_.Carried(now, carrying_);
}

bool ControlConnection::IsQuiet() const {
  if (is_unix()) return false;
  const FloodPolicy::Totals totals = Totals();
  const MutexLock lock(mutex_);
  return activity_.IsQuiet(totals);
}

bool ControlConnection::Look(TimePoint now, const FloodPolicy::Totals& totals,
                             bool arrived) {
  const MutexLock lock(mutex_);
  return activity_.Look(now, totals, arrived);
}

bool ControlConnection::is_open() const {
  const MutexLock lock(mutex_);
  return copy_.is_open() && !shut_down_;
}

bool ControlConnection::ShutDown() {
  const MutexLock lock(mutex_);
  if (!copy_.is_open() || shut_down_.exchange(true)) return false;
  // shutdown(2) leaves to gRPC what was received already, which may be as much
  // as a whole flood.
  sockaddr nobody{};
  nobody.sa_family = AF_UNSPEC;
  if (is_unix() || connect(copy_.get(), &nobody, sizeof nobody) != 0) {
    (void)shutdown(copy_.get(), SHUT_RDWR);
    ThrowAway(copy_.get());
  }
  return true;
}

void ControlConnection::Forget() {
  const MutexLock lock(mutex_);
  if (Unread(copy_.get()) > ControlActivity::kFreeBytes) {
    ThrowAway(copy_.get());
  }
  copy_ = Descriptor();
}

}  // namespace portreeve::server
