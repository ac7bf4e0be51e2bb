#include "bench/grpc/measurement.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"

namespace portreeve::bench {
namespace {

using google::protobuf::Struct;
using google::protobuf::Value;

Value Number(double number) {
  Value value;
  value.set_number_value(number);
  return value;
}

double Microseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::micro>(duration).count();
}

// `sorted` is not empty.
double Percentile(const std::vector<Clock::duration>& sorted, double percent) {
  const double rank =
      std::ceil(percent / 100 * static_cast<double>(sorted.size()));
  const auto index = static_cast<size_t>(std::max(rank, 1.0)) - 1;
  return Microseconds(sorted[std::min(index, sorted.size() - 1)]);
}

Value Latency(std::vector<Clock::duration> latencies) {
  std::sort(latencies.begin(), latencies.end());
  Value value;
  auto& fields = *value.mutable_struct_value()->mutable_fields();
  fields["p50"] = Number(Percentile(latencies, 50));
  fields["p99"] = Number(Percentile(latencies, 99));
  fields["p999"] = Number(Percentile(latencies, 99.9));
  return value;
}

}  // namespace

void Tally::Count(const grpc::Status& status) {
  if (status.ok()) return;
  CountError(absl::StrCat("code ", static_cast<int>(status.error_code()), ": ",
                          status.error_message()));
}

void Tally::CountError(const std::string& message) {
  const absl::MutexLock lock(&mutex_);
  if (result_.errors++ == 0) result_.first_error = message;
}

void Tally::AddLatency(Clock::duration latency) {
  const absl::MutexLock lock(&mutex_);
  result_.latencies.push_back(latency);
}

void Tally::ForgetLatencies() {
  const absl::MutexLock lock(&mutex_);
  result_.latencies.clear();
}

Result Tally::Take(int64_t units) {
  const absl::MutexLock lock(&mutex_);
  result_.units = units;
  return std::move(result_);
}

Stopwatch::Stopwatch(std::optional<pid_t> server)
    : server_(server), cpu_(ServerCpu()), begin_(Clock::now()) {}

std::optional<int64_t> Stopwatch::ServerCpu() const {
  clockid_t clock;
  timespec time;
  if (!server_ || clock_getcpuclockid(*server_, &clock) != 0 ||
      clock_gettime(clock, &time) != 0) {
    return std::nullopt;
  }
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

std::string Stopwatch::ToJson(const Result& result) const {
  const std::optional<int64_t> cpu = ServerCpu();
  const std::chrono::duration<double> elapsed = Clock::now() - begin_;
  Struct json;
  auto& fields = *json.mutable_fields();
  fields["units"] = Number(static_cast<double>(result.units));
  fields["seconds"] = Number(elapsed.count());
  fields["errors"] = Number(static_cast<double>(result.errors));
  if (result.errors > 0) {
    fields["first_error"].set_string_value(result.first_error);
  }
  if (!result.latencies.empty()) {
    fields["latency_us"] = Latency(result.latencies);
  }
  if (cpu && cpu_) {
    fields["server_cpu_ns"] = Number(static_cast<double>(*cpu - *cpu_));
  }
  for (const auto& [name, figure] : result.more) fields[name] = Number(figure);
  std::string text;
  // Numbers and a text: nothing that could fail.
  (void)google::protobuf::util::MessageToJsonString(json, &text);
  return text;
}

}  // namespace portreeve::bench
