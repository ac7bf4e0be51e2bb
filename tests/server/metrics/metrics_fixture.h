// MetricsTest: a registry that is scraped.
#ifndef PORTREEVE_TESTS_SERVER_METRICS_METRICS_FIXTURE_H_
#define PORTREEVE_TESTS_SERVER_METRICS_METRICS_FIXTURE_H_

#include <boost/asio/io_context.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "server/metrics/metrics_source.h"
#include "tests/server/registry_fixture.h"

namespace portreeve::server {

// A scrape, read.
class Scraped {
 public:
  explicit Scraped(const std::string& text) : text_(text) {
    for (absl::string_view line :
         absl::StrSplit(text_, '\n', absl::SkipEmpty())) {
      if (absl::StartsWith(line, "#")) continue;
      const size_t space = line.rfind(' ');
      double value = 0;
      EXPECT_TRUE(absl::SimpleAtod(line.substr(space + 1), &value)) << line;
      const auto added =
          values_.emplace(std::string(line.substr(0, space)), value);
      EXPECT_TRUE(added.second) << "twice: " << line;
    }
  }

  // Gives the value of a series, such as `portreeve_listeners{state="closed"}`;
  // nothing where there is none.
  std::optional<double> Get(const std::string& series) const {
    const auto it = values_.find("portreeve_" + series);
    if (it == values_.end()) return std::nullopt;
    return it->second;
  }
  std::optional<double> OfListener(const std::string& metric,
                                   const std::string& id) const {
    return Get("listener_" + metric + "{listener=\"" + id + "\"}");
  }
  std::optional<double> Closed(const std::string& id,
                               const std::string& reason) const {
    return Get("listener_connections_closed_total{listener=\"" + id +
               "\",reason=\"" + reason + "\"}");
  }
  // Gives the sum of all series of a metric.
  double SumOf(const std::string& metric) const {
    double sum = 0;
    for (const auto& [series, value] : values_) {
      if (absl::StartsWith(series, "portreeve_" + metric + "{")) sum += value;
    }
    return sum;
  }
  // Gives the ids of the listeners that have series of their own.
  std::vector<std::string> Listeners() const {
    std::vector<std::string> ids;
    const std::string begin = "portreeve_listener_accepted_total{listener=\"";
    for (const auto& [series, value] : values_) {
      if (!absl::StartsWith(series, begin)) continue;
      ids.push_back(
          series.substr(begin.size(), series.size() - begin.size() - 2));
    }
    return ids;
  }
  bool Mentions(const std::string& text) const {
    return absl::StrContains(text_, text);
  }
  const std::string& text() const { return text_; }

 private:
  const std::string text_;
  std::map<std::string, double> values_;
};

class MetricsTest : public RegistryTest {
 protected:
  void TearDown() override {
    source_.reset();
    RegistryTest::TearDown();
  }

  // Makes the source, with these options; before the first scrape.
  void Begin(MetricsSource::Options options = {}) {
    options.version = "1.2.3";
    source_ = std::make_unique<MetricsSource>(loop(), *registry_, events_,
                                              budget_, std::move(options));
  }
  MetricsSource& source() {
    if (source_ == nullptr) Begin();
    return *source_;
  }
  void EndSource() { source_.reset(); }

  // A scrape that may be under way.
  using Answer = std::shared_ptr<absl::StatusOr<std::string>>;
  Answer StartScrape(std::vector<std::string> ids = {}) {
    const auto answer = std::make_shared<absl::StatusOr<std::string>>(
        absl::UnknownError("not answered"));
    source().Scrape(std::move(ids), http_.get_executor(),
                    [answer](absl::StatusOr<std::string> text) {
                      EXPECT_EQ(answer->status().code(),
                                absl::StatusCode::kUnknown);
                      *answer = std::move(text);
                    });
    return answer;
  }
  // Runs it to its end; the text is written where the test says.
  absl::StatusOr<std::string> Await(const Answer& answer) {
    Settle();
    EXPECT_EQ(answer->status().code(), absl::StatusCode::kUnknown)
        << "the text was not written on the executor";
    http_.restart();
    http_.poll();
    return *answer;
  }
  Scraped End(const Answer& answer) {
    const auto text = Await(answer);
    EXPECT_TRUE(text.ok()) << text.status();
    return Scraped(text.ok() ? *text : "");
  }
  Scraped Scrape(std::vector<std::string> ids = {}) {
    return End(StartScrape(std::move(ids)));
  }
  // Runs one step of the loop.
  bool Step() {
    loop().restart();
    return loop().poll_one() == 1;
  }

  // Has a client connect, send this, and get it back from an echo.
  void Echo(const v1::Listener& listener, const std::string& data) {
    const size_t before = num_connections();
    testing::RawClient client = Connect(listener);
    EXPECT_EQ(client.Send(data), "ok");
    EXPECT_EQ(client.ReceiveExactly(data.size()), data);
    client.CloseSending();
    EXPECT_EQ(client.Receive(), "EOF");
    RunUntil([&] { return num_connections() == before; });
  }
  void Delete(const std::string& id) {
    Close(id);
    Settle();
    EXPECT_TRUE(DeleteNow(*registry_, id).ok());
  }

  asio::io_context http_{1};

 private:
  std::unique_ptr<MetricsSource> source_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_TESTS_SERVER_METRICS_METRICS_FIXTURE_H_
