#include "lib/base/poller.h"

#include <array>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <new>
#include <system_error>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/descriptor.h"
#include "lib/base/guarded.h"
#include "lib/base/loop_service.h"

namespace portreeve {
namespace {

// How many events one epoll_wait(2) may give; the next one gives the others.
constexpr int kMostEvents = 128;

// How often epoll is asked before Asio has its turn again, which costs several
// system calls.
constexpr int kRoundsPerStep = 8;

Descriptor OpenEpoll() {
  Descriptor fd(epoll_create1(EPOLL_CLOEXEC));
  if (!fd.is_open()) {
    throw std::system_error(errno, std::generic_category(), "epoll_create1");
  }
  return fd;
}

}  // namespace

Poller& Poller::Of(asio::io_context& loop) { return OfLoop<Poller>(loop); }

Poller::Poller(asio::io_context& loop)
    : memory_(OfLoop<Memory>(loop)),
      epoll_(loop.get_executor()),
      mailbox_(loop, memory_.mail) {
  kept_.reserve(kKeptAtLeast);
  Descriptor fd = OpenEpoll();
  epoll_.assign(fd.get());
  fd.Release();
}

uint64_t Poller::Key(uint32_t slot) const {
  return uint64_t{slots_[slot].generation} << 32 | slot;
}

uint32_t Poller::TakeSlot(Watch& watch, int tag) {
  uint32_t& slot = watch.slots_[tag];
  PORTREEVE_DCHECK(slot == kNone);
  if (free_slot_ == kNone) {
    slots_.emplace_back();
    slot = static_cast<uint32_t>(slots_.size() - 1);
  } else {
    slot = std::exchange(free_slot_, slots_[free_slot_].tag_or_next_free);
  }
  slots_[slot].watch = &watch;
  slots_[slot].tag_or_next_free = static_cast<uint32_t>(tag);
  return slot;
}

void Poller::FreeSlot(Watch& watch, int tag) {
  const uint32_t slot = std::exchange(watch.slots_[tag], kNone);
  slots_[slot].watch = nullptr;
  ++slots_[slot].generation;
  slots_[slot].tag_or_next_free = std::exchange(free_slot_, slot);
}

int Poller::Add(int fd, uint32_t events, Watch& watch, int tag) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = Key(TakeSlot(watch, tag));
  if (epoll_ctl(epoll_.native_handle(), EPOLL_CTL_ADD, fd, &event) != 0) {
    const int error = errno;
    FreeSlot(watch, tag);
    return error;
  }
  ++num_registered_;
  Await();
  return 0;
}

int Poller::Change(int fd, uint32_t events, Watch& watch, int tag) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = Key(watch.slots_[tag]);
  return epoll_ctl(epoll_.native_handle(), EPOLL_CTL_MOD, fd, &event) == 0
             ? 0
             : errno;
}

int Poller::Move(int fd, uint32_t events, Watch& from, int tag, Watch& to) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = Key(TakeSlot(to, 0));
  if (epoll_ctl(epoll_.native_handle(), EPOLL_CTL_MOD, fd, &event) != 0) {
    const int error = errno;
    FreeSlot(to, 0);
    return error;
  }
  ++num_registered_;
  Remove(from, tag);
  return 0;
}

void Poller::Remove(Watch& watch, int tag) {
  const auto is_it = [&watch](const Again& a) { return a.watch == &watch; };
  std::erase_if(again_, is_it);
  std::erase_if(after_round_, is_it);
  for (Again& due : due_) {
    if (is_it(due)) due.watch = nullptr;
  }
  for (bool& asked : watch.asked_again_) asked = false;
  FreeSlot(watch, tag);
  --num_registered_;
  Await();
}

void Poller::RemoveNow(int fd, Watch& watch, int tag) {
  (void)epoll_ctl(epoll_.native_handle(), EPOLL_CTL_DEL, fd, nullptr);
  Remove(watch, tag);
}

void Poller::CallAgain(Watch& watch, int tag) {
  if (!watch.asked_again_[tag]) {
    again_.push_back({&watch, tag});
    watch.asked_again_[tag] = true;
  }
  CallThoseAgainSoon();
}

void Poller::CallThoseAgainSoon() {
  if (again_posted_) return;
  again_posted_ = true;
  asio::post(epoll_.get_executor(),
             asio::bind_allocator(memory_.again.allocator(), [this] {
               again_posted_ = false;
               CallThoseAgain();
             }));
}

void Poller::CallAfterRound(Watch& watch, int tag) {
  after_round_.push_back({&watch, tag});
  if (!in_step_) StepSoon();
}

void Poller::KeepForThisStep(std::shared_ptr<void> object) noexcept {
  if (!in_step_) return;
  if (kept_.size() == kept_.capacity()) {
    try {
      kept_.reserve(2 * kept_.capacity());
    } catch (const std::bad_alloc&) {
      // Whoever calls it in this round must find it, so that it is never let
      // go.
      alignas(std::shared_ptr<void>) static thread_local std::byte
          lost[sizeof object];
      new (lost) std::shared_ptr<void>(std::move(object));
      return;
    }
  }
  kept_.push_back(std::move(object));
}

// Waits if there is something to wait for; else nothing keeps the loop running.
void Poller::Await() {
  // The end of the step calls this, or GoOn() has that done.
  if (in_step_ || held_) return;
  if (waiting_) {
    if (num_registered_ == 0) epoll_.cancel();
    return;
  }
  if (num_registered_ == 0) return;
  waiting_ = true;
  epoll_.async_wait(AsioDescriptor::wait_read,
                    asio::bind_allocator(memory_.wait.allocator(),
                                         [this](boost::system::error_code ec) {
                                           waiting_ = false;
                                           if (!ec) Step();
                                           Await();
                                         }));
}

void Poller::GoOn() {
  if (!std::exchange(held_, false)) return;
  if (!again_.empty()) CallThoseAgainSoon();
  // For those whose wait has ended meanwhile, or never begun.
  StepSoon();
}

void Poller::Step() {
  if (held_) return;
  step_ends_ = false;
  for (int i = 0; i < kRoundsPerStep && !step_ends_; ++i) {
    if (!Round()) break;
  }
  if (!after_round_.empty()) StepSoon();
}

void Poller::StepSoon() {
  if (step_posted_) return;
  step_posted_ = true;
  asio::post(epoll_.get_executor(),
             asio::bind_allocator(memory_.step.allocator(), [this] {
               step_posted_ = false;
               Step();
               Await();
             }));
}

// Gives false if there was nothing to do.
bool Poller::Round() {
  Begin();
  ++round_;
  due_.swap(after_round_);
  const bool was_due = !due_.empty();
  const int count = TellOfWhatIsReady();
  CallThoseDue();
  End();
  return count > 0 || was_due;
}

void Poller::Begin() {
  in_step_ = true;
  if (round_watch_ == nullptr) return;
  Guarded([this] { round_watch_->OnRoundBegin(); });
}

void Poller::End() {
  if (round_watch_ != nullptr) {
    Guarded([this] { round_watch_->OnRoundEnd(); });
  }
  in_step_ = false;
  kept_.clear();
}

int Poller::TellOfWhatIsReady() {
  std::array<epoll_event, kMostEvents> events;
  const int count =
      epoll_wait(epoll_.native_handle(), events.data(), kMostEvents, 0);
  mailbox_.Drain();
  for (int i = 0; i < count; ++i) Tell(events[i]);
  return count;
}

void Poller::Tell(const epoll_event& event) {
  const Slot slot = slots_[static_cast<uint32_t>(event.data.u64)];
  // Otherwise the watch was removed, in this round, or while another process
  // holds a copy of the descriptor.
  if (slot.watch == nullptr || slot.generation != event.data.u64 >> 32) return;
  TellOne(*slot.watch, event.events, static_cast<int>(slot.tag_or_next_free));
}

void Poller::TellOne(Watch& watch, uint32_t events, int tag) {
  Guarded([&] { watch.OnReady(events, tag); });
}

void Poller::CallThoseDue() {
  for (size_t i = 0; i < due_.size(); ++i) {
    const Again next = due_[i];
    if (next.watch != nullptr) TellOne(*next.watch, 0, next.tag);
  }
  due_.clear();
}

void Poller::CallThoseAgain() {
  if (held_) return;
  Begin();
  // Those who ask again meanwhile get their turn in the next step.
  for (size_t n = again_.size(); n > 0 && !again_.empty(); --n) {
    const Again next = again_.front();
    again_.pop_front();
    next.watch->asked_again_[next.tag] = false;
    TellOne(*next.watch, 0, next.tag);
  }
  End();
  if (!after_round_.empty()) StepSoon();
  Await();
}

}  // namespace portreeve
