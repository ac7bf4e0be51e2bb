#include <sstream>

#include "tests/model/script.h"

namespace portreeve::model {
namespace {

const char* ToText(Step::Kind kind) {
  switch (kind) {
    case Step::Kind::kSend:
      return "send";
    case Step::Kind::kUrgent:
      return "urgent";
    case Step::Kind::kFin:
      return "fin";
    case Step::Kind::kReset:
      return "reset";
    case Step::Kind::kClose:
      return "close";
    case Step::Kind::kRaised:
      return "raised";
    case Step::Kind::kEndOfStream:
      return "end-of-stream";
    case Step::Kind::kCancel:
      return "cancel";
    case Step::Kind::kFill:
      return "fill";
    case Step::Kind::kCancelIfHeld:
      return "cancel-if-held";
    case Step::Kind::kPause:
      return "pause";
    case Step::Kind::kAwait:
      return "await";
    case Step::Kind::kRead:
      return "read";
    case Step::Kind::kSlow:
      return "slow";
    case Step::Kind::kStall:
      return "stall";
    case Step::Kind::kStallToEnd:
      return "stall-to-end";
  }
  return "?";
}

const char* ToText(Handler handler) {
  switch (handler) {
    case Handler::kEcho:
      return "echo";
    case Handler::kDiscard:
      return "discard";
    case Handler::kForwardTcp:
      return "forward to tcp";
    case Handler::kForwardUnix:
      return "forward to unix";
    case Handler::kForwardName:
      return "forward by name";
    case Handler::kForwardNowhere:
      return "forward to nowhere";
    case Handler::kRemote:
      return "remote";
    case Handler::kRemoteUnclaimed:
      return "remote, unclaimed";
    case Handler::kDialTcp:
      return "dial to tcp";
    case Handler::kDialUnix:
      return "dial to unix";
  }
  return "?";
}

std::string ToText(const SidePlan& side) {
  std::ostringstream out;
  if (side.receive_buffer != 0) out << "buffer " << side.receive_buffer << ": ";
  for (const Step& step : side.steps) {
    out << ToText(step.kind);
    if (step.bytes != 0) out << " " << step.bytes;
    if (step.unit != 0) out << "/" << step.unit;
    if (step.time.count() != 0) out << " " << step.time.count() << "ms";
    out << ", ";
  }
  out << (side.ends_by_end_of_stream ? "end-of-stream" : "done")
      << " at the end";
  return out.str();
}

const char* ToText(Order::How how) {
  switch (how) {
    case Order::How::kLeave:
      return "LEAVE";
    case Order::How::kClose:
      return "CLOSE";
    case Order::How::kReset:
      return "RESET";
  }
  return "?";
}

}  // namespace

std::string ToText(const Plan& plan) {
  std::ostringstream out;
  out << "seed " << plan.seed << ": " << plan.about << ", "
      << ToText(plan.handler) << ", near side on "
      << (plan.near_is_unix ? "unix" : "tcp");
  if (plan.age_limit.count() != 0) {
    out << ", buffer_age_limit " << plan.age_limit.count() << "ms";
  }
  if (plan.max_connections != 0) {
    out << ", max_connections " << plan.max_connections;
  }
  if (plan.raising_closes) out << ", on_handler_error RAISE";
  out << "\n";
  for (size_t i = 0; i < plan.pairs.size(); ++i) {
    out << "  pair " << i << "\n    near: " << ToText(plan.pairs[i].near)
        << "\n    far: " << ToText(plan.pairs[i].far) << "\n";
  }
  for (const Order& order : plan.orders) {
    out << "  after " << order.after.count() << "ms: "
        << (order.what == Order::What::kCloseListener ? "CloseListener "
                                                      : "CloseConnection ")
        << ToText(order.how) << " pair " << order.pair << "\n";
  }
  return out.str();
}

}  // namespace portreeve::model
