// Flooder: connections to a daemon that send without an end.
#ifndef PORTREEVE_TESTS_FLOODS_FLOODER_H_
#define PORTREEVE_TESTS_FLOODS_FLOODER_H_

#include <openssl/ssl.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/floods/flood_frames.h"

namespace portreeve::testing {

class Flooder {
 public:
  struct Options {
    FloodKind kind = FloodKind::kOpen;
    std::string path;
    // As that of FloodFrames: the flood begins when the call is answered.
    std::string dial;
    int num_connections = 1;
    // For how long each sends, unless the daemon ends it before.
    std::chrono::milliseconds time{0};
    // Whether each takes what the daemon answers.
    bool reads = false;
    // Where: a port of 127.0.0.1, or a unix socket.
    int port = 0;
    std::string unix_path;
    // Files of PEM; "": without TLS.
    std::string certificate;
    std::string key;
  };

  // Connects, each in a thread of its own.
  explicit Flooder(const Options& options);
  ~Flooder();  // Waits for the end of all.
  Flooder(const Flooder&) = delete;
  Flooder& operator=(const Flooder&) = delete;

  // Whether one still sends.
  bool running() const { return num_running_ > 0; }
  int64_t bytes_sent() const { return bytes_sent_; }
  // How many the daemon ended.
  int num_ended() const { return num_ended_; }

 private:
  void Flood();

  const Options options_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> tls_;
  std::atomic<int> num_running_;
  std::atomic<int> num_ended_ = 0;
  std::atomic<int64_t> bytes_sent_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_FLOODS_FLOODER_H_
