#include "tests/model/script.h"

#include <algorithm>
#include <utility>

#include "tests/model/dice.h"

namespace portreeve::model {
namespace {

using Kind = Step::Kind;

constexpr int64_t kKilobyte = 1024;
constexpr int64_t kMegabyte = 1024 * kKilobyte;
// More than the kernel and the daemon hold for a peer that does not read.
constexpr int64_t kFlood = 12 * kMegabyte;
constexpr int64_t kLargestFrame = 256 * kKilobyte;

enum class SideKind { kTcp, kUnix, kStream };

Step Pause(Milliseconds time) { return {Kind::kPause, 0, 0, time}; }
Step Await(int64_t bytes, Milliseconds time) {
  return {Kind::kAwait, bytes, 0, time};
}
Step Stall(Milliseconds time) { return {Kind::kStall, 0, 0, time}; }
Step Do(Kind kind) { return {kind}; }

// In not too many pieces.
Step Send(int64_t bytes, int64_t unit) {
  const int64_t least = std::min(bytes / 64 + 1, kLargestFrame);
  return {Kind::kSend, bytes, std::clamp(unit, least, kLargestFrame),
          Milliseconds(100)};
}

Step RandomSend(Dice& dice, int64_t most) {
  return Send(dice.Magnitude(1, most), dice.Magnitude(1, kLargestFrame));
}

Step RandomReading(Dice& dice) {
  if (dice.Percent(45)) return Stall(dice.Time(1, 150));
  if (dice.Percent(70)) {
    return {Kind::kSlow, 0, dice.Magnitude(64, 64 * kKilobyte),
            dice.Time(5, 150)};
  }
  return Do(Kind::kRead);
}

int RandomBuffer(Dice& dice) {
  return dice.Percent(70) ? 0 : static_cast<int>(dice.Magnitude(2048, 131072));
}

void AddEnd(Dice& dice, SideKind kind, std::vector<Step>& steps) {
  if (dice.Percent(50)) {
    steps.push_back(
        Await(dice.Magnitude(1, 512 * kKilobyte), dice.Time(1, 100)));
  }
  if (dice.Percent(15)) {
    steps.push_back(RandomSend(dice, 16 * kKilobyte));
    steps.push_back(Do(Kind::kReset));
  } else if (kind != SideKind::kStream) {
    steps.push_back(Do(dice.OneOf({Kind::kFin, Kind::kFin, Kind::kFin,
                                   Kind::kFin, Kind::kReset, Kind::kClose})));
  } else if (!dice.Percent(20)) {  // Else it ends when its peer does.
    steps.push_back(Do(dice.OneOf({Kind::kFin, Kind::kFin, Kind::kClose,
                                   Kind::kClose, Kind::kReset, Kind::kRaised,
                                   Kind::kEndOfStream, Kind::kCancel})));
  }
  const bool half = !steps.empty() && (steps.back().kind == Kind::kFin ||
                                       steps.back().kind == Kind::kEndOfStream);
  if (!half || !dice.Percent(25)) return;
  steps.push_back(RandomReading(dice));
  steps.push_back(Await(dice.Magnitude(1, 512 * kKilobyte), dice.Time(1, 60)));
  if (kind == SideKind::kStream && steps[steps.size() - 3].kind != Kind::kFin) {
    if (dice.Percent(50)) steps.push_back(Do(Kind::kCancel));
  } else {
    steps.push_back(Do(dice.OneOf({Kind::kReset, Kind::kClose})));
  }
}

SidePlan RandomSide(Dice& dice, SideKind kind) {
  SidePlan side;
  side.receive_buffer = RandomBuffer(dice);
  side.ends_by_end_of_stream = dice.Percent(50);
  bool urgent = kind != SideKind::kTcp;
  for (int64_t left = dice.Between(0, 8); left > 0; --left) {
    const int64_t choice = dice.Between(1, 100);
    if (choice <= 45) {
      side.steps.push_back(RandomSend(dice, kMegabyte));
    } else if (choice <= 60) {
      side.steps.push_back(Pause(dice.Time(0, 20)));
    } else if (choice <= 72) {
      side.steps.push_back(
          Await(dice.Magnitude(1, 128 * kKilobyte), dice.Time(1, 60)));
    } else if (choice <= 95 || std::exchange(urgent, true)) {
      side.steps.push_back(RandomReading(dice));
    } else {
      side.steps.push_back(Do(Kind::kUrgent));
    }
  }
  AddEnd(dice, kind, side.steps);
  return side;
}

SideKind NearKind(const Plan& plan) {
  return plan.near_is_unix ? SideKind::kUnix : SideKind::kTcp;
}

SideKind FarKind(const Plan& plan) {
  if (HasStream(plan.handler)) return SideKind::kStream;
  return plan.handler == Handler::kForwardUnix ? SideKind::kUnix
                                               : SideKind::kTcp;
}

void AddOrders(Dice& dice, Plan& plan) {
  using What = Order::What;
  using How = Order::How;
  for (int i = 0; i < 2 && dice.Percent(i == 0 ? 30 : 20); ++i) {
    Order order;
    order.what = IsDial(plan.handler) || dice.Percent(60)
                     ? What::kCloseConnection
                     : What::kCloseListener;
    order.how = order.what == What::kCloseConnection
                    ? dice.OneOf({How::kClose, How::kReset})
                    : dice.OneOf({How::kLeave, How::kClose, How::kReset});
    order.pair = static_cast<size_t>(
        dice.Between(0, static_cast<int64_t>(plan.pairs.size()) - 1));
    order.after = dice.Time(0, 120);
    plan.orders.push_back(order);
  }
}

Handler AnyHandler(Dice& dice) {
  return dice.OneOf({Handler::kEcho, Handler::kEcho, Handler::kDiscard,
                     Handler::kForwardTcp, Handler::kForwardTcp,
                     Handler::kForwardTcp, Handler::kForwardUnix,
                     Handler::kForwardName, Handler::kRemote, Handler::kRemote,
                     Handler::kRemote, Handler::kDialTcp, Handler::kDialTcp,
                     Handler::kDialUnix});
}

// One with a side at both ends, the near one over TCP.
Handler TwoSided(Dice& dice) {
  return dice.OneOf({Handler::kForwardTcp, Handler::kForwardTcp,
                     Handler::kForwardName, Handler::kForwardUnix,
                     Handler::kRemote, Handler::kRemote, Handler::kDialTcp});
}

void MakeRandom(Dice& dice, Plan& plan) {
  plan.about = "random";
  plan.handler = AnyHandler(dice);
  if (dice.Percent(3)) plan.handler = Handler::kForwardNowhere;
  if (dice.Percent(2)) plan.handler = Handler::kRemoteUnclaimed;
  plan.near_is_unix = IsDial(plan.handler) ? plan.handler == Handler::kDialUnix
                                           : dice.Percent(30);
  plan.raising_closes = dice.Percent(40);
  if (dice.Percent(10)) plan.age_limit = dice.Time(100, 500);
  const bool may_be_many =
      !plan.near_is_unix && !IsForward(plan.handler) && !IsDial(plan.handler);
  const bool is_many = may_be_many && dice.Percent(20);
  if (is_many) plan.max_connections = static_cast<int>(dice.Between(1, 2));
  for (int64_t left = is_many ? dice.Between(2, 3) : 1; left > 0; --left) {
    PairPlan pair;
    pair.near = RandomSide(dice, NearKind(plan));
    pair.far = RandomSide(dice, FarKind(plan));
    plan.pairs.push_back(std::move(pair));
  }
  AddOrders(dice, plan);
}

// A little, and a reset at once; the other side has no end of its own before.
void MakeSmallReset(Dice& dice, Plan& plan) {
  plan.about = "small reset";
  plan.handler = TwoSided(dice);
  PairPlan pair;
  const bool near_resets = dice.Percent(50) || HasStream(plan.handler);
  SidePlan& resets = near_resets ? pair.near : pair.far;
  SidePlan& watches = near_resets ? pair.far : pair.near;
  // Both are connected when the first has heard of the second.
  watches.steps = {Send(1, 1), Await(kMegabyte, Milliseconds(400))};
  if (!HasStream(plan.handler)) watches.steps.push_back(Do(Kind::kFin));
  resets.steps = {Await(1, Milliseconds(100))};
  for (int64_t left = dice.Between(1, 4); left > 0; --left) {
    resets.steps.push_back(Send(dice.Magnitude(1, 15 * kKilobyte), 16384));
    if (dice.Percent(30)) resets.steps.push_back(Pause(dice.Time(0, 2)));
  }
  resets.steps.push_back(Do(Kind::kReset));
  plan.pairs.push_back(std::move(pair));
}

// CLOSE while the peer goes on sending and reads only later.
void MakeCloseWhileSending(Dice& dice, Plan& plan) {
  plan.about = "CLOSE while sending";
  plan.handler =
      dice.OneOf({Handler::kEcho, Handler::kEcho, Handler::kForwardTcp,
                  Handler::kForwardUnix, Handler::kRemote, Handler::kDialTcp});
  PairPlan pair;
  pair.near.receive_buffer = static_cast<int>(dice.OneOf({0, 16384, 65536}));
  pair.near.steps = {Stall(dice.Time(150, 500))};
  pair.near.steps.push_back(Send(kFlood / 2, 65536));
  if (dice.Percent(50)) pair.near.steps.push_back(Pause(dice.Time(50, 300)));
  pair.near.steps.push_back(RandomSend(dice, kMegabyte));
  pair.near.steps.push_back(Do(Kind::kFin));
  pair.far.steps = {RandomSend(dice, 4 * kMegabyte),
                    RandomSend(dice, kMegabyte),
                    Await(kFlood, dice.Time(100, 400))};
  // The end of a handler is such a CLOSE, too.
  const bool by_handler = HasStream(plan.handler) && dice.Percent(50);
  pair.far.steps.push_back(
      Do(!by_handler
             ? Kind::kFin
             : dice.OneOf({Kind::kClose, Kind::kRaised, Kind::kEndOfStream})));
  plan.pairs.push_back(std::move(pair));
  if (by_handler) return;
  Order order;
  order.what = IsDial(plan.handler) || dice.Percent(70)
                   ? Order::What::kCloseConnection
                   : Order::What::kCloseListener;
  order.how = Order::How::kClose;
  order.pair = 0;
  order.after = dice.Time(20, 300);
  plan.orders.push_back(order);
}

// It reads nothing until it is over, and sends FIN before that, or after.
void AddStallToEnd(Dice& dice, SidePlan& side) {
  side.steps.push_back(Do(Kind::kStallToEnd));
  if (dice.Percent(60)) {
    side.steps.push_back(Await(1, std::chrono::minutes(10)));
  }
  side.steps.push_back(Do(Kind::kFin));
}

// The near side reads nothing until it is over, which the client of the stream
// sees to: with one frame at most before its word.
void MakeStuckStream(Dice& dice, Plan& plan) {
  plan.about = "stream behind a peer that does not read";
  plan.handler = dice.OneOf({Handler::kRemote, Handler::kDialTcp});
  PairPlan pair;
  pair.near.receive_buffer =
      static_cast<int>(dice.OneOf({2048, 16384, 65536, 65536}));
  if (dice.Percent(50)) pair.near.steps.push_back(RandomSend(dice, 4096));
  AddStallToEnd(dice, pair.near);
  const int64_t most =
      dice.Percent(50) ? kFlood : dice.Magnitude(32 * kKilobyte, kMegabyte);
  const int64_t frame = dice.OneOf({16, 64, 64, 256}) * kKilobyte;
  pair.far.steps = {{Kind::kFill, most, frame}};
  if (!plan.is_long && dice.Percent(30)) {
    plan.age_limit = dice.Time(100, 600);
    pair.far.steps.front().bytes = kFlood;
    if (dice.Percent(50)) pair.far.steps.push_back(Do(Kind::kClose));
  } else {
    pair.far.steps.push_back(Do(Kind::kCancelIfHeld));
    pair.far.steps.push_back(
        Do(plan.is_long
               ? dice.OneOf({Kind::kClose, Kind::kRaised})
               : dice.OneOf({Kind::kReset, Kind::kReset, Kind::kCancel})));
  }
  plan.pairs.push_back(std::move(pair));
}

// CLOSE with bytes left for the near side, which reads nothing: after 30 s what
// is left is thrown away.
void MakeForcedClose(Dice& dice, Plan& plan) {
  plan.about = "CLOSE that is forced";
  plan.handler =
      dice.OneOf({Handler::kEcho, Handler::kForwardTcp, Handler::kForwardUnix,
                  Handler::kRemote, Handler::kDialTcp});
  PairPlan pair;
  SidePlan& sends = plan.handler == Handler::kEcho ? pair.near : pair.far;
  pair.near.receive_buffer = RandomBuffer(dice);
  pair.near.steps.push_back(Do(Kind::kStallToEnd));
  sends.steps.push_back(Send(2 * kFlood, 65536));
  pair.near.steps.push_back(Await(1, std::chrono::minutes(10)));
  pair.near.steps.push_back(Do(Kind::kFin));
  if (!HasStream(plan.handler)) pair.far.steps.push_back(Do(Kind::kFin));
  plan.pairs.push_back(std::move(pair));
  plan.orders.push_back({Order::What::kCloseConnection, Order::How::kClose, 0,
                         dice.Time(500, 1000)});
}

// One side sends and sends to another that reads nothing until it is too old.
void MakeTooOld(Dice& dice, Plan& plan) {
  plan.about = "too old";
  plan.handler =
      dice.OneOf({Handler::kEcho, Handler::kForwardTcp, Handler::kForwardUnix,
                  Handler::kForwardName, Handler::kRemote, Handler::kDialTcp});
  plan.near_is_unix = !IsDial(plan.handler) && dice.Percent(30);
  plan.age_limit = dice.Time(100, 600);
  PairPlan pair;
  const bool down = !IsForward(plan.handler) || dice.Percent(50);
  SidePlan& sends =
      plan.handler == Handler::kEcho || !down ? pair.near : pair.far;
  SidePlan& stalls = down ? pair.near : pair.far;
  stalls.receive_buffer = RandomBuffer(dice);
  stalls.steps.push_back(Do(Kind::kStallToEnd));
  sends.steps.push_back(
      Send(2 * kFlood, dice.OneOf({32, 64, 256}) * kKilobyte));
  pair.near.steps.push_back(Do(Kind::kFin));
  if (!HasStream(plan.handler)) pair.far.steps.push_back(Do(Kind::kFin));
  plan.pairs.push_back(std::move(pair));
}

// One side resets, of which the other, that does not read, has to be told.
void MakeResetBesideStall(Dice& dice, Plan& plan) {
  plan.about = "reset beside a stall";
  plan.handler = dice.OneOf({Handler::kForwardTcp, Handler::kForwardName});
  PairPlan pair;
  const bool near_resets = dice.Percent(50);
  SidePlan& resets = near_resets ? pair.near : pair.far;
  SidePlan& stalls = near_resets ? pair.far : pair.near;
  resets.steps = {Await(1, Milliseconds(100)),
                  Send(dice.Magnitude(1, kFlood), 65536),
                  Pause(dice.Time(0, 60)), Do(Kind::kReset)};
  resets.steps[1].time = dice.Time(5, 100);
  resets.steps.insert(resets.steps.begin() + 1, Stall(Milliseconds(3000)));
  stalls.receive_buffer = RandomBuffer(dice);
  stalls.steps = {Send(1, 1), Do(Kind::kStallToEnd), Do(Kind::kFin)};
  plan.pairs.push_back(std::move(pair));
}

// An urgent byte in the midst of bulk, towards one who is slow at first.
void MakeUrgent(Dice& dice, Plan& plan) {
  plan.about = "urgent byte";
  plan.handler = AnyHandler(dice);
  if (plan.handler == Handler::kDialUnix) plan.handler = Handler::kDialTcp;
  PairPlan pair;
  const bool far_sends = (plan.handler == Handler::kForwardTcp ||
                          plan.handler == Handler::kForwardName) &&
                         dice.Percent(50);
  SidePlan& sends = far_sends ? pair.far : pair.near;
  SidePlan& reads = far_sends ? pair.near : pair.far;
  sends.steps = {Send(dice.Magnitude(1, 4 * kMegabyte), 65536),
                 Do(Kind::kUrgent), Send(dice.Magnitude(1, kMegabyte), 65536)};
  if (dice.Percent(50))
    sends.steps.insert(sends.steps.begin() + 1, Pause(dice.Time(0, 20)));
  reads.receive_buffer = RandomBuffer(dice);
  reads.steps.insert(reads.steps.begin(), Stall(dice.Time(10, 200)));
  pair.near.steps.push_back(Do(Kind::kFin));
  if (!HasStream(plan.handler)) pair.far.steps.push_back(Do(Kind::kFin));
  plan.pairs.push_back(std::move(pair));
}

}  // namespace

bool IsForward(Handler handler) {
  return HasUpstream(handler) || handler == Handler::kForwardNowhere;
}

bool IsRemote(Handler handler) {
  return handler == Handler::kRemote || handler == Handler::kRemoteUnclaimed;
}

bool IsDial(Handler handler) {
  return handler == Handler::kDialTcp || handler == Handler::kDialUnix;
}

bool HasStream(Handler handler) { return IsRemote(handler) || IsDial(handler); }

bool HasUpstream(Handler handler) {
  return handler == Handler::kForwardTcp || handler == Handler::kForwardUnix ||
         handler == Handler::kForwardName;
}

Plan MakePlan(uint64_t seed) {
  Dice dice(seed);
  Plan plan;
  plan.seed = seed;
  plan.is_long = (seed & kLongSeed) != 0;
  const int64_t choice = dice.Between(1, 100);
  if (plan.is_long) {
    dice.Percent(60) ? MakeForcedClose(dice, plan)
                     : MakeStuckStream(dice, plan);
  } else if (choice <= 58) {
    MakeRandom(dice, plan);
  } else if (choice <= 70) {
    MakeSmallReset(dice, plan);
  } else if (choice <= 79) {
    MakeCloseWhileSending(dice, plan);
  } else if (choice <= 86) {
    MakeStuckStream(dice, plan);
  } else if (choice <= 91) {
    MakeTooOld(dice, plan);
  } else if (choice <= 95) {
    MakeResetBesideStall(dice, plan);
  } else {
    MakeUrgent(dice, plan);
  }
  return plan;
}

}  // namespace portreeve::model
