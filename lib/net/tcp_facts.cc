#include "lib/net/tcp_facts.h"

// The C library's own header has a shorter tcp_info, and excludes this one.
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace portreeve {
namespace {

// The kernel's numbers of states (include/net/tcp_states.h).
constexpr int kClosed = 7;
constexpr int kCloseWait = 8;
constexpr int kLastAck = 9;
constexpr int kClosing = 11;

}  // namespace

TcpFacts TcpFactsOf(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return {};
  TcpFacts facts;
  facts.peer_has_ended = info.tcpi_state == kCloseWait ||
                         info.tcpi_state == kLastAck ||
                         info.tcpi_state == kClosing;
  facts.is_over = info.tcpi_state == kClosed;
  facts.bytes_received = static_cast<int64_t>(info.tcpi_bytes_received);
  facts.segments_received = info.tcpi_data_segs_in;
  facts.bytes_unsent = info.tcpi_notsent_bytes;
  return facts;
}

}  // namespace portreeve
