// Scene: plays one plan against a daemon.
#ifndef PORTREEVE_TESTS_MODEL_SCENE_H_
#define PORTREEVE_TESTS_MODEL_SCENE_H_

#include <poll.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/model/control.h"
#include "tests/model/history.h"
#include "tests/model/script.h"
#include "tests/model/script_run.h"
#include "tests/model/socket_peer.h"
#include "tests/model/stream_peer.h"
#include "tests/model/worker.h"

namespace portreeve::model {

// Descriptors to be polled, each with what is called with its events.
struct Polls {
  void Add(int fd, short events, std::function<void(short)> then) {
    fds.push_back({fd, events, 0});
    calls.push_back(std::move(then));
  }

  std::vector<pollfd> fds;
  std::vector<std::function<void(short)>> calls;
};

// What all scenes of a daemon share.
struct Stage {
  Control& control;
  std::string folder;        // For unix sockets.
  Milliseconds patience;     // What a scene may take, beside forced closes.
  bool shut_down = false;    // The daemon got SIGTERM.
  bool watch_ended = false;  // Nothing more will be told.
};

// It creates its listener (a scene that dials has one, too: that it is
// determined shows that all events before have come), lets the pairs act, waits
// until all is over, judges, and takes the listener away.
//
// Threads: the one of the control's Wake.
class Scene {
 public:
  // `number` is its own among those of a daemon.
  Scene(Stage& stage, Plan plan, int number);
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;
  ~Scene();

  void Start(TimePoint now);
  // Both to be called in turn.
  void AddTo(Polls& polls, TimePoint now);
  void Advance(TimePoint now);

  const std::string& listener() const { return listener_; }
  // Where a scene that dials is dialled; "" for the others.
  const std::string& dialled() const { return dialled_; }
  // An event of the listener or of one of its connections.
  void OnEvent(const v1::Event& event);

  bool over() const { return state_ == State::kOver; }
  const Plan& plan() const { return plan_; }
  // What is wrong, once it is over; empty if nothing is.
  const std::vector<std::string>& wrong() const { return wrong_; }
  // Of the connections of it, as the daemon told.
  std::vector<v1::CloseReason> Reasons() const;
  // What was seen, for people.
  std::string Seen() const;
  size_t num_pairs() const { return pairs_.size(); }

 private:
  enum class State { kCreating, kPlaying, kClosing, kChecking, kOver };

  struct Pair {
    std::unique_ptr<SocketPeer> near;
    std::unique_ptr<SocketPeer> far;
    std::shared_ptr<StreamPeer> stream;
    std::string near_key;    // The address of the near socket.
    std::string connection;  // Its name, once it was told of.
    bool closed_one = false;
    bool close_called = false;
    bool reset_called = false;
  };

  // An answer that comes after the scene does nothing.
  template <typename Answer>
  Control::OnAnswer<Answer> WhileAlive(Control::OnAnswer<Answer> on_answer) {
    return [alive = alive_, on_answer = std::move(on_answer)](
               const grpc::Status& status, const Answer& answer) {
      if (*alive) on_answer(status, answer);
    };
  }

  void Prepare();
  bool TakeNameToo();
  v1::ListenerSpec Spec() const;
  v1::Handler HandlerSpec() const;
  v1::WhereToConnect Upstream() const;
  void Create();
  void OnCreated(const v1::Listener& listener);
  void Connect(Pair& pair, size_t index, int port);
  void Dial();
  void OnOffer(const v1::Connection& connection);
  void AcceptAll();
  void OnClosed(const v1::Connection& connection);
  void NoteOver();

  void GiveOrders(TimePoint now);
  void Give(const Order& order);
  void GiveToConnection(Pair& pair, Order::How how);
  void GiveToListener(Order::How how);

  bool AllSidesAreOver() const;
  bool AllIsTold() const;
  void CloseListener();
  void Check();
  void Delete();
  void Finish();
  void GiveUp();
  PairHistory HistoryOf(const Pair& pair) const;
  void Wrong(std::string what) { wrong_.push_back(std::move(what)); }

  Content NearContent(size_t pair) const { return Content(key_ + 2 * pair); }
  Content FarContent(size_t pair) const { return Content(key_ + 2 * pair + 1); }

  Stage& stage_;
  const Plan plan_;
  const std::string id_;
  const std::string listener_;
  const uint64_t key_;
  State state_ = State::kCreating;
  TimePoint began_;
  TimePoint ended_;
  bool created_ = false;
  bool given_up_ = false;

  std::vector<Pair> pairs_;
  int acceptor_ = -1;  // Of upstreams, or of what is dialled.
  int beside_ = -1;    // Keeps its port on ::1.
  std::string acceptor_path_;
  std::string dialled_;
  std::shared_ptr<Worker> worker_;
  std::vector<bool> given_;  // Of the orders.

  // From the daemon.
  std::map<std::string, std::optional<ConnectionHistory>> told_;
  bool close_started_ = false;
  bool determined_ = false;
  bool close_answered_ = false;
  bool closed_all_ = false;
  int live_ = 0;

  std::vector<std::string> wrong_;
  std::string seen_hanging_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace portreeve::model

#endif  // PORTREEVE_TESTS_MODEL_SCENE_H_
