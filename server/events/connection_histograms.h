// ConnectionHistograms: how long the connections of a listener, or of all, have
// lived, and how much they have carried.
#ifndef PORTREEVE_SERVER_EVENTS_CONNECTION_HISTOGRAMS_H_
#define PORTREEVE_SERVER_EVENTS_CONNECTION_HISTOGRAMS_H_

#include <cstdint>

#include "server/events/size_histogram.h"

namespace portreeve::server {

// What has histograms (--metrics-histograms).
enum class HistogramScope {
  kOff,
  kDaemon,    // All listeners together.
  kListener,  // Each listener, too.
};

// portreeve.v1.ListenerStats has the buckets.
// Threads: one.
struct ConnectionHistograms {
  static constexpr int64_t kSecond = 1'000'000'000;
  using Durations = SizeHistogram<kSecond / 1'000, 2, 13, kSecond>;
  using ConnectTimes = SizeHistogram<kSecond / 10'000, 2, 10, kSecond>;
  using Bytes = SizeHistogram<64, 4, 8, 1>;

  // These are of connections that are over; their totals are the same.
  Durations duration;
  Bytes received;
  Bytes sent;
  // How long it took to connect to the upstream.
  ConnectTimes connect;

  // Counts a connection that is over.
  void CountEnd(int64_t nanoseconds, int64_t bytes_received,
                int64_t bytes_sent) {
    duration.Count(nanoseconds);
    received.Count(bytes_received);
    sent.Count(bytes_sent);
  }

  // Adds those of `other`.
  void Add(const ConnectionHistograms& other) {
    duration.Add(other.duration);
    received.Add(other.received);
    sent.Add(other.sent);
    connect.Add(other.connect);
  }
};
// A listener may have them.
static_assert(sizeof(ConnectionHistograms) <= 600);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_EVENTS_CONNECTION_HISTOGRAMS_H_
