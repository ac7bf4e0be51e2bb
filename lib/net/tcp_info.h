// TcpInfo: what the kernel tells of a TCP connection to whoever looks for a
// fault.
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_NET_TCP_INFO_H_
#define PORTREEVE_LIB_NET_TCP_INFO_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace portreeve {

// Where nothing else is said, a value counts from the beginning of the
// connection.
struct TcpInfo {
  std::string_view state;  // As ss(8) writes it: "ESTAB".

  // The round-trip time, smoothed, and by how much it varies.
  std::chrono::microseconds rtt{0};
  std::chrono::microseconds rtt_variation{0};

  // Segments that were sent again, and those of them that are on their way.
  int64_t retransmits_total = 0;
  int32_t retransmits = 0;

  int32_t congestion_window = 0;  // In segments.
  int32_t segment_size = 0;       // In bytes.

  // Segments that are on their way.
  int32_t unacknowledged_segments = 0;
  // Bytes that were written and not sent even once; a FIN counts one.
  int64_t unsent_bytes = 0;

  // Bytes that the peer has acknowledged, and that have arrived in order; a SYN
  // and a FIN may count one each.
  int64_t acknowledged_bytes = 0;
  int64_t received_bytes = 0;

  // How long ago data was last sent, and received.
  std::chrono::milliseconds since_sent{0};
  std::chrono::milliseconds since_received{0};
};

// Takes one system call.  Gives nullopt where the kernel does not answer, as of
// a socket that is not TCP.
std::optional<TcpInfo> TcpInfoOf(int fd);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_TCP_INFO_H_
