#include "tests/model/round.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "tests/model/endpoint.h"
#include "tests/model/sanitized.h"

namespace portreeve::model {
namespace {

// What a scene may take at most that does not hang; some ask for a second.
constexpr Milliseconds kPatience{kSanitized ? 60'000 : 20'000};
constexpr Milliseconds kToEnd{15'000};
// How much the daemon may grow while it has nothing more to do than before.
constexpr int64_t kMostGrowthKilobytes = 48 * 1024;

std::string MakeFolder() {
  char folder[] = "/tmp/model-XXXXXX";
  return mkdtemp(folder) == nullptr ? "" : folder;
}

// Sockets only: pipes are kept for the next who need them.
size_t CountSockets(pid_t pid) {
  size_t count = 0;
  std::error_code ignored;
  const std::string folder = "/proc/" + std::to_string(pid) + "/fd";
  for (const auto& entry :
       std::filesystem::directory_iterator(folder, ignored)) {
    const auto target = std::filesystem::read_symlink(entry, ignored);
    count += target.string().rfind("socket:", 0) == 0 ? 1 : 0;
  }
  return count;
}

int64_t ResidentKilobytes(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; status >> word;) {
    int64_t kilobytes;
    if (word == "VmRSS:" && status >> kilobytes) return kilobytes;
  }
  return 0;
}

std::vector<std::string> WithControl(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--audit", "/dev/null"});
  return arguments;
}

Failure FailureOf(const Scene& scene) {
  Failure failure;
  failure.text = ToText(scene.plan()) + scene.Seen();
  for (const std::string& wrong : scene.wrong()) {
    failure.kinds.push_back(scene.plan().about + ": " + wrong);
    failure.text += "  WRONG: " + wrong + "\n";
  }
  return failure;
}

}  // namespace

Round::Round(RoundOptions options)
    : options_(std::move(options)),
      folder_(MakeFolder()),
      daemon_(WithControl(options_.arguments)) {}

Round::~Round() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void Round::Fail(const std::string& kind, const std::string& text) {
  failures_.push_back({{kind}, text});
}

void Round::Run() {
  if (!daemon_.WaitUntilReady()) {
    return Fail("the daemon does not start", "the daemon does not start");
  }
  Begin();
  while (over_ < options_.seeds.size()) {
    StartScenes();
    Turn();
    TakeOver();
    if (options_.terminate_after && over_ >= *options_.terminate_after) {
      Terminate();
    }
    if (stage_->shut_down && scenes_.empty()) break;
  }
  if (!stage_->shut_down) ExpectNothingLeft();
  EndDaemon();
}

void Round::Begin() {
  control_ = std::make_unique<Control>(
      daemon_.Target(), wake_,
      [this](const v1::Event* event) { OnEvent(event); });
  stage_.emplace(Stage{*control_, folder_, kPatience});
  sockets_before_ = CountSockets(daemon_.pid());
}

void Round::StartScenes() {
  while (scenes_.size() < options_.at_a_time &&
         started_ < options_.seeds.size() && !stage_->shut_down) {
    const int number = static_cast<int>(started_);
    auto scene = std::make_unique<Scene>(
        *stage_, MakePlan(options_.seeds[started_]), number);
    ++started_;
    num_pairs_ += scene->num_pairs();
    by_listener_[scene->listener()] = scene.get();
    scene->Start(Clock::now());
    if (!scene->dialled().empty()) by_dialled_[scene->dialled()] = scene.get();
    scenes_.emplace(number, std::move(scene));
  }
}

void Round::Turn() {
  Polls polls;
  polls.Add(wake_.fd(), POLLIN, [](short) {});
  const TimePoint now = Clock::now();
  for (const auto& [number, scene] : scenes_) scene->AddTo(polls, now);
  (void)poll(polls.fds.data(), polls.fds.size(), 1);
  for (size_t i = 0; i < polls.fds.size(); ++i) {
    polls.calls[i](polls.fds[i].revents);
  }
  wake_.Run();
  daemon_.TakeErrors();
  for (const auto& [number, scene] : scenes_) scene->Advance(Clock::now());
}

void Round::TakeOver() {
  for (auto it = scenes_.begin(); it != scenes_.end();) {
    const Scene& scene = *it->second;
    if (!scene.over()) {
      ++it;
      continue;
    }
    for (const v1::CloseReason reason : scene.Reasons()) ++reasons_[reason];
    if (!scene.wrong().empty()) failures_.push_back(FailureOf(scene));
    by_listener_.erase(scene.listener());
    by_dialled_.erase(scene.dialled());
    it = scenes_.erase(it);
    ++over_;
    if (over_ == options_.seeds.size() / 3) {
      kilobytes_early_ = ResidentKilobytes(daemon_.pid());
    }
  }
}

void Round::OnEvent(const v1::Event* event) {
  if (event == nullptr) {
    stage_->watch_ended = true;
  } else if (event->has_gap()) {
    Fail("events are missing", "events are missing: the test was too slow");
  } else if (Scene* const scene = FindScene(*event)) {
    scene->OnEvent(*event);
  }
}

Scene* Round::FindScene(const v1::Event& event) const {
  const auto find = [](const auto& in, const std::string& key) -> Scene* {
    const auto found = in.find(key);
    return found == in.end() ? nullptr : found->second;
  };
  const auto find_of = [&](const v1::Connection& connection) {
    return connection.listener().empty()
               ? find(by_dialled_, Key(connection.peer()))
               : find(by_listener_, connection.listener());
  };
  switch (event.kind_case()) {
    case v1::Event::kConnectionAccepted:
      return find_of(event.connection_accepted().connection());
    case v1::Event::kConnectionClosed:
      return find_of(event.connection_closed().connection());
    case v1::Event::kListenerCloseStarted:
      return find(by_listener_,
                  event.listener_close_started().listener().name());
    case v1::Event::kListenerHandlersDetermined:
      return find(by_listener_,
                  event.listener_handlers_determined().listener().name());
    default:
      return nullptr;
  }
}

void Round::Terminate() {
  if (std::exchange(stage_->shut_down, true)) return;
  daemon_.Signal(SIGTERM);
}

void Round::ExpectNothingLeft() {
  const TimePoint deadline = Clock::now() + kToEnd;
  while ((control_->calls_under_way() > 0 ||
          CountSockets(daemon_.pid()) > sockets_before_) &&
         Clock::now() < deadline) {
    Turn();
  }
  if (control_->calls_under_way() > 0) {
    Fail("calls are left", "calls that never end: " +
                               std::to_string(control_->calls_under_way()));
  }
  if (const size_t now = CountSockets(daemon_.pid()); now > sockets_before_) {
    Fail("descriptors are left", "the daemon has " + std::to_string(now) +
                                     " sockets, but had " +
                                     std::to_string(sockets_before_));
  }
  const int64_t grown = ResidentKilobytes(daemon_.pid()) - kilobytes_early_;
  if (!kSanitized && kilobytes_early_ > 0 && grown > kMostGrowthKilobytes) {
    Fail("the daemon grows",
         "the daemon has grown by " + std::to_string(grown) + " KiB");
  }
}

void Round::EndDaemon() {
  if (!stage_->shut_down) Terminate();
  const TimePoint deadline = Clock::now() + kToEnd;
  while ((control_->calls_under_way() > 0 || !stage_->watch_ended) &&
         Clock::now() < deadline) {
    Turn();
  }
  if (control_->calls_under_way() > 0 || !stage_->watch_ended) {
    Fail("the daemon does not end", "calls outlive the daemon's end");
    daemon_.Signal(SIGKILL);
  }
  const int status = daemon_.WaitForExit();
  while (control_->calls_under_way() > 0 || !stage_->watch_ended) Turn();
  control_.reset();
  if (status != 0) {
    Fail("exit status", "the daemon ended with status " +
                            std::to_string(status) + ":\n" +
                            daemon_.error_output());
  }
}

}  // namespace portreeve::model
