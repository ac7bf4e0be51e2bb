#include "tests/model/history.h"

#include <sstream>

namespace portreeve::model {
namespace {

void AddStream(std::ostringstream& out, const SideHistory& side) {
  if (side.opened) out << ", saw opened";
  if (side.done) out << ", done";
  if (side.reset) out << ", reset";
  if (side.raised) out << ", raised";
  if (side.ended_stream) out << ", ended its stream";
  if (side.cancelled) out << ", cancelled";
  if (side.saw_eof) out << ", saw eof";
  if (side.closed) out << ", saw closed " << CloseReason_Name(*side.closed);
  if (!side.disorder.empty()) out << ", disorder: " << side.disorder;
  if (side.status) {
    out << ", status " << *side.status << " " << side.status_text;
  } else {
    out << ", not over";
  }
}

std::string ToText(const SideHistory& side) {
  using Kind = SideHistory::Kind;
  if (!side.exists()) return "none";
  std::ostringstream out;
  out << (side.kind == Kind::kTcp    ? "tcp"
          : side.kind == Kind::kUnix ? "unix"
                                     : "stream")
      << " sent " << side.sent << ", received " << side.received;
  if (side.urgent) out << ", sent an urgent byte";
  if (side.first_wrong) out << ", first wrong byte at " << *side.first_wrong;
  if (side.fin) out << ", ended in order";
  if (side.left == SideHistory::Left::kReset) out << ", reset it";
  if (side.left == SideHistory::Left::kEither) out << ", closed it";
  if (side.kind == Kind::kStream) {
    AddStream(out, side);
  } else {
    out << ", saw "
        << (side.end == SideHistory::End::kFin     ? "FIN"
            : side.end == SideHistory::End::kReset ? "RST"
                                                   : "no end");
  }
  return out.str();
}

}  // namespace

std::string ToText(const PairHistory& pair) {
  std::ostringstream out;
  out << "    near: " << ToText(pair.near) << "\n    far: " << ToText(pair.far)
      << "\n    ";
  if (pair.connection) {
    out << "the daemon: " << CloseReason_Name(pair.connection->reason)
        << ", received " << pair.connection->bytes_received << ", sent "
        << pair.connection->bytes_sent;
  } else {
    out << "the daemon told of no end";
  }
  out << "; asked for:" << (pair.close_called ? " CLOSE" : "")
      << (pair.reset_called ? " RESET" : "")
      << (pair.listener_closed ? ", listener closed" : "")
      << (pair.shut_down ? ", SIGTERM" : "") << "; " << pair.lasted.count()
      << "ms\n";
  return out.str();
}

}  // namespace portreeve::model
