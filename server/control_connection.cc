#include "server/control_connection.h"

#include <pwd.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/tcp_facts.h"

namespace portreeve::server {
namespace {

// What a call that waits stands for beside its bytes: gRPC's memory for it.
constexpr int64_t kWeightOfCall = 4 << 10;
constexpr int64_t kWeightOfCancelled = 256;

// What a call without a large request comes with.
constexpr int64_t kBytesOfCall = 1 << 10;

// What a unix socket may well have received between two looks.
constexpr int64_t kBytesOfArrival = 64 << 10;

constexpr std::chrono::seconds kMarkInterval{1};

// Throws away what a unix socket has received: its buffer is small, but enough
// for thousands of calls.  Its descriptor does not block.
void ThrowAway(int fd) {
  char space[16 << 10];
  while (recv(fd, space, sizeof space, MSG_DONTWAIT) > 0) {
  }
}

// "" where the user has no name.
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

ControlConnection::ControlConnection(Client client, Descriptor copy)
    : client_(std::move(client)), copy_(std::move(copy)) {}

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

bool ControlConnection::BeginCall() {
  ++begun_;
  const int in_flight = ++in_flight_;
  return !FloodPolicy::TooManyCalls(in_flight, carrying_);
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
  totals.in_flight = in_flight_;
  totals.carrying = carrying_;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!copy_.is_open()) return totals;
  if (is_unix()) return totals;
  const TcpFacts facts = TcpFactsOf(copy_.get());
  totals.received_bytes = facts.bytes_received;
  totals.received_segments = facts.segments_received;
  return totals;
}

int64_t ControlConnection::Activity() const {
  const FloodPolicy::Totals now = Totals();
  const std::lock_guard<std::mutex> lock(mutex_);
  int unread = 0;
  if (is_unix() && copy_.is_open()) (void)ioctl(copy_.get(), FIONREAD, &unread);
  const int64_t unexplained = now.received_bytes - older_.received_bytes +
                              unread -
                              (now.message_bytes - older_.message_bytes) -
                              (now.begun - older_.begun) * kBytesOfCall +
                              (arrivals_ - older_arrivals_) * kBytesOfArrival;
  return std::max<int64_t>(unexplained, 0) +
         (now.in_flight - now.carrying) * kWeightOfCall +
         (now.cancelled - older_.cancelled) * kWeightOfCancelled;
}

int ControlConnection::carried() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::max({carrying_.load(), older_.carrying, newer_.carrying});
}

bool ControlConnection::IsQuiet() const {
  constexpr int64_t kLittle = 1 << 10;
  if (is_unix()) return false;
  const FloodPolicy::Totals now = Totals();
  const std::lock_guard<std::mutex> lock(mutex_);
  return now.received_bytes - seen_.received_bytes < kLittle &&
         now.begun == seen_.begun && now.messages == seen_.messages;
}

bool ControlConnection::MarkSeen(const FloodPolicy::Totals& totals,
                                 TimePoint now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool is_new = totals.received_bytes != seen_.received_bytes ||
                      totals.begun != seen_.begun ||
                      totals.messages != seen_.messages;
  seen_ = totals;
  if (now - marked_ >= kMarkInterval) {
    marked_ = now;
    older_ = std::exchange(newer_, totals);
    older_arrivals_ = std::exchange(newer_arrivals_, arrivals_);
  }
  return is_new;
}

bool ControlConnection::is_open() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return copy_.is_open() && !shut_down_;
}

bool ControlConnection::ShutDown() {
  const std::lock_guard<std::mutex> lock(mutex_);
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
  const std::lock_guard<std::mutex> lock(mutex_);
  copy_ = Descriptor();
}

}  // namespace portreeve::server
