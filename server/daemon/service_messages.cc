#include "server/daemon/service_messages.h"

#include <chrono>

#include "absl/strings/str_cat.h"

namespace portreeve::server {
namespace {

int64_t Microseconds(Duration time) {
  return std::chrono::ceil<std::chrono::microseconds>(time).count();
}

}  // namespace

std::string ServiceMessages::Ready(const std::string& status) {
  if (state_ != State::kStarting) return "";
  state_ = State::kRunning;
  return WithStatus("READY=1", status);
}

std::string ServiceMessages::Reloading(Duration now) {
  if (state_ != State::kRunning) return "";
  ++num_reloads_;
  return absl::StrCat("RELOADING=1\nMONOTONIC_USEC=", Microseconds(now));
}

std::string ServiceMessages::Reloaded(const std::string& status) {
  if (state_ != State::kRunning || num_reloads_ == 0 || --num_reloads_ > 0) {
    return "";
  }
  return WithStatus("READY=1", status);
}

std::string ServiceMessages::Alive(const std::string& status) {
  if (state_ != State::kRunning) return "";
  return status == status_ ? "WATCHDOG=1" : WithStatus("WATCHDOG=1", status);
}

std::string ServiceMessages::Stopping(const std::string& status,
                                      Duration most) {
  if (state_ == State::kStopping) return "";
  state_ = State::kStopping;
  return absl::StrCat(WithStatus("STOPPING=1", status),
                      "\nEXTEND_TIMEOUT_USEC=", Microseconds(most));
}

std::string ServiceMessages::WithStatus(const char* message,
                                        const std::string& status) {
  status_ = status;
  return absl::StrCat(message, "\nSTATUS=", status);
}

std::string ServiceMessages::Store(const std::string& name) {
  return absl::StrCat("FDSTORE=1\nFDNAME=", name, "\nFDPOLL=0");
}

std::string ServiceMessages::Remove(const std::string& name) {
  return absl::StrCat("FDSTOREREMOVE=1\nFDNAME=", name);
}

std::string ServiceMessages::Barrier() { return "BARRIER=1"; }

}  // namespace portreeve::server
