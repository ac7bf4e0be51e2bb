// TopModel: what WatchStats has told, and how fast it changes.
#ifndef PORTREEVE_CLIENT_CLI_TOP_MODEL_H_
#define PORTREEVE_CLIENT_CLI_TOP_MODEL_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "portreeve/v1/listener.pb.h"
#include "portreeve/v1/stats.pb.h"

namespace portreeve::cli {

// What a table of listeners is ordered by: the largest first, names from a on;
// of equals those with the lesser name first.
enum class TopOrder { kAccepts, kOpen, kIn, kOut, kName };

// Per second, between the last two times that the daemon has told.
struct TopRates {
  double accepts = 0;
  double closes = 0;
  double in = 0;   // Bytes from clients.
  double out = 0;  // Bytes to clients.
};

struct TopRow {
  std::string name;  // "listeners/web".
  v1::ListenerStatus status;
  int64_t max_connections = 0;
  std::optional<TopRates> rates;  // None: it was told of once only.
};

struct TopTotals {
  v1::DaemonStats daemon;
  double cpu = 0;  // Seconds of CPU per second.
  TopRates rates;  // Of all listeners.
  int listeners = 0;
};

class TopModel {
 public:
  // Takes one message.  Those with the same time belong together; a daemon that
  // was started anew begins anew.
  void Take(const v1::WatchStatsResponse& message);
  // The stream was lost, and a new one begins with all listeners.
  void OnStreamStarted() { fresh_ = true; }

  // Whether there are two times, the later of which is after the other: between
  // them there are rates.
  bool has_rates() const { return seconds_ > 0; }

  TopTotals Totals() const;
  // Gives those whose name contains `filter`.
  std::vector<TopRow> Rows(TopOrder order, const std::string& filter) const;

 private:
  struct Counts {
    int64_t accepted = 0;
    int64_t closed = 0;
    int64_t in = 0;
    int64_t out = 0;
  };
  struct Entry {
    v1::ListenerStats stats;
    Counts before;          // At the time before the last.
    bool is_known = false;  // `before` is known.
    bool was_told = false;  // In the stream that there is now.
  };

  static Counts CountsOf(const v1::ListenerStats& stats);
  void BeginTime(const v1::WatchStatsResponse& message);
  void DropUntold();
  std::optional<TopRates> RatesOf(const Entry& entry) const;

  std::map<std::string, Entry> listeners_;
  std::string instance_id_;
  std::optional<double> time_;  // Seconds since 1970, of the last message.
  double seconds_ = 0;          // Between the last two times; 0: no rates.
  v1::DaemonStats daemon_;
  double cpu_ = 0;
  // The first time of a new stream is being told: it has all listeners.
  bool fresh_ = true;
  bool telling_all_ = false;
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_TOP_MODEL_H_
