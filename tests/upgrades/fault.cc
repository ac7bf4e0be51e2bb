// What is preloaded by a process that takes over, and has a fault there.
//
// $UPGRADE_FAULT says when, and which:
//
//   received N ACTION  once it has N messages of the former process
//   sends KIND ACTION  before it sends one of that kind, the number that it has
//                      in portreeve/internal/v1/handover.proto
//
// The actions: `kill` and `stop` it is sent those signals; `descriptors` it may
// have no more of, `memory` not either, until it serves; `version` what it
// sends is of a version that nobody speaks.
#include <dirent.h>
#include <dlfcn.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

struct Fault {
  char when[16] = "";
  int number = 0;
  char action[16] = "";
};

const Fault& TheFault() {
  static const Fault fault = [] {
    Fault read;
    const char* const text = std::getenv("UPGRADE_FAULT");
    if (text != nullptr) {
      std::sscanf(text, "%15s %d %15s", read.when, &read.number, read.action);
    }
    return read;
  }();
  return fault;
}

// It serves; from then on it is the one that hands over.
bool is_over = false;
constexpr int kServing = 23;

void Set(__rlimit_resource what, rlim_t to) {
  rlimit limit;
  getrlimit(what, &limit);
  limit.rlim_cur = to < limit.rlim_max ? to : limit.rlim_max;
  setrlimit(what, &limit);
}

rlim_t NumDescriptors() {
  rlim_t count = 0;
  DIR* const folder = opendir("/proc/self/fd");
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count - 3;
}

rlim_t BytesOfMemory() {
  unsigned long pages = 0;
  std::FILE* const file = std::fopen("/proc/self/statm", "re");
  if (std::fscanf(file, "%lu", &pages) != 1) std::abort();
  std::fclose(file);
  return pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
}

void Act(std::string* message) {
  const std::string action = TheFault().action;
  if (action == "kill") raise(SIGKILL);
  if (action == "stop") raise(SIGSTOP);
  if (action == "descriptors") Set(RLIMIT_NOFILE, NumDescriptors());
  if (action == "memory") Set(RLIMIT_AS, BytesOfMemory());
  if (action == "version" && message != nullptr) {
    // min_version and max_version, with which a hello begins.
    const size_t at = message->find(std::string("\x08\x01\x10", 3));
    if (at == message->npos) std::abort();
    (*message)[at + 1] = (*message)[at + 3] = 99;
  }
}

bool IsOfTakeOver(int fd) {
  int type = 0;
  socklen_t size = sizeof type;
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
         type == SOCK_SEQPACKET;
}

// Reads a varint, and goes on behind it.
uint64_t Varint(const std::string& bytes, size_t& at) {
  uint64_t value = 0;
  for (int shift = 0; at < bytes.size(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes[at++]);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  return value;
}

// The only field of a message that is a message itself says what it is.
int KindOf(const std::string& bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const uint64_t tag = Varint(bytes, at);
    if ((tag & 7) == 2) return static_cast<int>(tag >> 3);
    Varint(bytes, at);
  }
  return 0;
}

}  // namespace

extern "C" ssize_t recvmsg(int fd, msghdr* header, int flags) {
  using Call = ssize_t (*)(int, msghdr*, int);
  static const Call call = reinterpret_cast<Call>(dlsym(RTLD_NEXT, "recvmsg"));
  const ssize_t result = call(fd, header, flags);
  if (result <= 0 || is_over || !IsOfTakeOver(fd)) return result;
  static int num_received = 0;
  if (TheFault().when == std::string("received") &&
      ++num_received == TheFault().number) {
    Act(nullptr);
  }
  return result;
}

extern "C" ssize_t sendmsg(int fd, const msghdr* header, int flags) {
  using Call = ssize_t (*)(int, const msghdr*, int);
  static const Call call = reinterpret_cast<Call>(dlsym(RTLD_NEXT, "sendmsg"));
  if (is_over || !IsOfTakeOver(fd)) return call(fd, header, flags);
  const iovec& piece = header->msg_iov[0];
  std::string bytes(static_cast<const char*>(piece.iov_base), piece.iov_len);
  const int kind = KindOf(bytes);
  if (TheFault().when == std::string("sends") && kind == TheFault().number) {
    Act(&bytes);
  }
  if (kind == kServing) {
    is_over = true;
    Set(RLIMIT_NOFILE, RLIM_INFINITY);
    Set(RLIMIT_AS, RLIM_INFINITY);
  }
  iovec changed = {bytes.data(), bytes.size()};
  msghdr sent = *header;
  sent.msg_iov = &changed;
  return call(fd, &sent, flags);
}
