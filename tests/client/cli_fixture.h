// Runs the CLI against a gRPC server that plays the daemon.
#ifndef PORTREEVE_TESTS_CLIENT_CLI_FIXTURE_H_
#define PORTREEVE_TESTS_CLIENT_CLI_FIXTURE_H_

#include <gtest/gtest.h>

#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "client/cli/run.h"
#include "tests/client/fake_daemon.h"

namespace portreeve::cli {

using Arguments = std::vector<std::string>;

// Text that counts how often it was flushed.
class CountingBuffer : public std::stringbuf {
 public:
  int flushes() const { return flushes_; }

 private:
  int sync() override {
    ++flushes_;
    return 0;
  }

  int flushes_ = 0;
};

class CliTest : public ::testing::Test {
 protected:
  ~CliTest() override { end_.Notify(); }

  // Runs the CLI with the daemon from the environment.
  ExitStatus Run(const Arguments& arguments) {
    return Run(arguments, {.server = daemon_.address(), .directory = "/home"});
  }
  ExitStatus Run(const Arguments& arguments, const Environment& environment) {
    out_.str("");
    err_.str("");
    std::ostream out(&out_);
    return cli::Run(arguments, environment, out, err_);
  }

  std::string out() const { return out_.str(); }
  std::string err() const { return err_.str(); }

  // For answers that shall not come while the test runs; outlives the daemon's
  // threads.
  absl::Notification end_;
  client::FakeDaemon daemon_;
  CountingBuffer out_;
  std::ostringstream err_;
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_TESTS_CLIENT_CLI_FIXTURE_H_
