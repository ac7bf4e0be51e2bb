#include "server/daemon/daemon_sockets.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "server/daemon/control_address.h"

namespace portreeve::server {
namespace {

using Kind = internal::v1::HandoverControlSocket;

void AddAll(Kind::Kind kind, const std::vector<ControlAddress>& places,
            std::vector<FrozenListeningSocket> frozen,
            std::vector<OwnSocket>& sockets) {
  for (size_t i = 0; i < places.size() && i < frozen.size(); ++i) {
    // One that is broken has none.
    if (frozen[i].descriptor < 0) continue;
    sockets.push_back(
        {kind, ToString(places[i].address), std::move(frozen[i])});
  }
}

}  // namespace

std::vector<OwnSocket> DaemonSockets::Freeze() {
  std::vector<OwnSocket> sockets;
  AddAll(Kind::KIND_CONTROL, flags_.control, plane_->Freeze(), sockets);
  if (http_ != nullptr) {
    AddAll(Kind::KIND_HTTP, flags_.http, http_->Freeze(), sockets);
  }
  return sockets;
}

void DaemonSockets::HandOver() {
  plane_->HandOverSockets();
  if (http_ != nullptr) http_->HandOver();
}

absl::Status DaemonSockets::Take(const OwnSocket& socket,
                                 Descriptor descriptor) {
  const bool is_control = socket.kind == Kind::KIND_CONTROL;
  if (is_control && !flags_.has_control) {
    if (!std::exchange(has_control_, true)) flags_.control.clear();
    ControlAddress address;
    address.address = socket.socket.address;
    flags_.control.push_back(std::move(address));
    control_taken_[flags_.control.size() - 1] = {socket.socket,
                                                 std::move(descriptor)};
    return absl::OkStatus();
  }
  const auto& places = is_control ? flags_.control : flags_.http;
  auto& taken = is_control ? control_taken_ : http_taken_;
  for (size_t i = 0; i < places.size(); ++i) {
    if (taken.count(i) > 0 || ToString(places[i].address) != socket.flag) {
      continue;
    }
    taken[i] = {socket.socket, std::move(descriptor)};
    return absl::OkStatus();
  }
  Log(LogLevel::kInfo,
      absl::StrCat("take-over: ", ToString(socket.socket.address),
                   " is closed: no flag of this process has it"));
  if (socket.socket.file) needless_files_.push_back(*socket.socket.file);
  return absl::OkStatus();
}

absl::Status DaemonSockets::Complete() {
  return open_(std::move(control_taken_), std::move(http_taken_));
}

void DaemonSockets::Own() {
  plane_->Own();
  if (http_ != nullptr) http_->Own();
  for (const UnixSocketFile::Identity& identity : needless_files_) {
    if (const auto file = UnixSocketFile::Find(identity)) file->RemoveIfOurs();
  }
}

}  // namespace portreeve::server
