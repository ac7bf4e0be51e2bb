#include "lib/net/tcp_info.h"

// The C library's own header has a shorter tcp_info, and excludes this one.
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>

namespace portreeve {
namespace {

// By the kernel's numbers (include/net/tcp_states.h), in the words of ss(8).
constexpr std::array<std::string_view, 13> kStates = {
    "UNKNOWN",    "ESTAB",     "SYN-SENT", "SYN-RECV",   "FIN-WAIT-1",
    "FIN-WAIT-2", "TIME-WAIT", "UNCONN",   "CLOSE-WAIT", "LAST-ACK",
    "LISTEN",     "CLOSING",   "SYN-RECV"};

}  // namespace

std::optional<TcpInfo> TcpInfoOf(int fd) {
  tcp_info info{};  // An older kernel leaves zeros at its end.
  socklen_t size = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) {
    return std::nullopt;
  }
  TcpInfo told;
  told.state =
      kStates[info.tcpi_state < kStates.size() ? info.tcpi_state : size_t{0}];
  told.rtt = std::chrono::microseconds(info.tcpi_rtt);
  told.rtt_variation = std::chrono::microseconds(info.tcpi_rttvar);
  told.retransmits_total = info.tcpi_total_retrans;
  told.retransmits = static_cast<int32_t>(info.tcpi_retrans);
  told.congestion_window = static_cast<int32_t>(info.tcpi_snd_cwnd);
  told.segment_size = static_cast<int32_t>(info.tcpi_snd_mss);
  told.unacknowledged_segments = static_cast<int32_t>(info.tcpi_unacked);
  told.unsent_bytes = info.tcpi_notsent_bytes;
  told.acknowledged_bytes = static_cast<int64_t>(info.tcpi_bytes_acked);
  told.received_bytes = static_cast<int64_t>(info.tcpi_bytes_received);
  told.since_sent = std::chrono::milliseconds(info.tcpi_last_data_sent);
  told.since_received = std::chrono::milliseconds(info.tcpi_last_data_recv);
  return told;
}

}  // namespace portreeve
