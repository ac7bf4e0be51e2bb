#include "client/cli/close_reason.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/format.h"

namespace portreeve::cli {
namespace {

const char* Explanation(v1::CloseReason reason) {
  switch (reason) {
    case v1::CLOSE_REASON_PEER_CLOSED:
    case v1::CLOSE_REASON_UPSTREAM_CLOSED:
      return "the other end has closed it";
    case v1::CLOSE_REASON_HANDLER_DONE:
      return "this end has closed it";
    case v1::CLOSE_REASON_PEER_RESET:
    case v1::CLOSE_REASON_UPSTREAM_RESET:
      return "the other end has reset it";
    case v1::CLOSE_REASON_HANDLER_ERROR:
      return "its handler has failed";
    case v1::CLOSE_REASON_BUFFER_AGE:
      return "the other end did not read for as long as the buffer age limit "
             "allows; bytes were lost";
    case v1::CLOSE_REASON_FORCED:
      return "the other end did not read all within 30s after the end; bytes "
             "were lost";
    case v1::CLOSE_REASON_CALLED:
      return "someone has closed it (portreeve kill)";
    case v1::CLOSE_REASON_LISTENER_CLOSED:
      return "its listener was closed, connections included";
    case v1::CLOSE_REASON_DROPPED:
      return "its listener drops incoming connections";
    case v1::CLOSE_REASON_UNCLAIMED:
      return "nobody has claimed it in time";
    case v1::CLOSE_REASON_CLIENT_GONE:
    case v1::CLOSE_REASON_CANCELLED:
      return "the daemon has lost this client";
    case v1::CLOSE_REASON_UPSTREAM_UNREACHABLE:
      return "its upstream was not reached";
    case v1::CLOSE_REASON_SHUTDOWN:
      return "the daemon shuts down";
    case v1::CLOSE_REASON_PROCESS_LOST:
      return "the process that carried it on after an upgrade is gone";
    default:
      return "the daemon has closed it";
  }
}

}  // namespace

bool ClosedInOrder(v1::CloseReason reason) {
  return reason == v1::CLOSE_REASON_PEER_CLOSED ||
         reason == v1::CLOSE_REASON_HANDLER_DONE;
}

std::string CloseReasonText(v1::CloseReason reason) {
  return absl::StrCat(EnumText(reason), ": ", Explanation(reason));
}

}  // namespace portreeve::cli
