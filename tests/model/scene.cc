#include "tests/model/scene.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tests/model/endpoint.h"
#include "tests/model/verdict.h"

namespace portreeve::model {
namespace {

// What a close may take whose peer does not read: of `done`, too, whose bytes
// the kernel has, but cannot send.
constexpr Milliseconds kForcedClose{30'000};
// How long a scene that was given up may take to go.
constexpr Milliseconds kToGo{5'000};
constexpr Milliseconds kClaimTimeout{150};

void SetDuration(google::protobuf::Duration* duration, Milliseconds time) {
  duration->set_seconds(time.count() / 1000);
  duration->set_nanos(static_cast<int32_t>(time.count() % 1000 * 1'000'000));
}

}  // namespace

Scene::Scene(Stage& stage, Plan plan, int number)
    : stage_(stage),
      plan_(std::move(plan)),
      id_("s" + std::to_string(number)),
      listener_("listeners/" + id_),
      key_(plan_.seed * 8),
      given_(plan_.orders.size()) {
  for (size_t i = 0; i < plan_.pairs.size(); ++i) pairs_.emplace_back();
}

Scene::~Scene() {
  *alive_ = false;
  if (acceptor_ >= 0) close(acceptor_);
  if (beside_ >= 0) close(beside_);
  if (!acceptor_path_.empty()) unlink(acceptor_path_.c_str());
}

// The beginning.

void Scene::Start(TimePoint now) {
  began_ = now;
  ended_ = now;
  Prepare();
  Create();
}

void Scene::Prepare() {
  if (plan_.handler == Handler::kForwardNowhere) acceptor_ = BindOnly();
  if (!HasUpstream(plan_.handler) && !IsDial(plan_.handler)) return;
  if (plan_.handler == Handler::kForwardUnix ||
      plan_.handler == Handler::kDialUnix) {
    acceptor_path_ = stage_.folder + "/u" + id_;
  }
  const PairPlan& pair = plan_.pairs.front();
  const int receive_buffer = IsDial(plan_.handler) ? pair.near.receive_buffer
                                                   : pair.far.receive_buffer;
  acceptor_ = Listen(acceptor_path_, receive_buffer);
  while (plan_.handler == Handler::kForwardName && !TakeNameToo()) {
    close(acceptor_);
    acceptor_ = Listen("", receive_buffer);
  }
  if (IsDial(plan_.handler)) dialled_ = LocalKey(acceptor_, acceptor_path_);
}

bool Scene::TakeNameToo() {
  beside_ = BindBeside(acceptor_);
  return beside_ >= 0 || errno != EADDRINUSE;
}

v1::WhereToConnect Scene::Upstream() const {
  v1::WhereToConnect upstream;
  if (!acceptor_path_.empty()) {
    upstream.mutable_unix_socket()->set_path(acceptor_path_);
  } else {
    upstream.mutable_inet()->set_host(
        plan_.handler == Handler::kForwardName ? "localhost" : "127.0.0.1");
    upstream.mutable_inet()->set_port(LocalPort(acceptor_));
  }
  return upstream;
}

v1::Handler Scene::HandlerSpec() const {
  v1::Handler handler;
  if (IsForward(plan_.handler)) {
    *handler.mutable_forward()->mutable_upstream() = Upstream();
  } else if (IsRemote(plan_.handler)) {
    handler.mutable_remote();
    if (plan_.handler == Handler::kRemoteUnclaimed) {
      SetDuration(handler.mutable_remote()->mutable_claim_timeout(),
                  kClaimTimeout);
    }
  } else if (plan_.handler == Handler::kEcho) {
    handler.mutable_echo();
  } else {
    handler.mutable_discard();
  }
  return handler;
}

v1::ListenerSpec Scene::Spec() const {
  v1::ListenerSpec spec;
  if (plan_.near_is_unix && !IsDial(plan_.handler)) {
    spec.mutable_where_to_listen()->mutable_unix_socket()->set_path(
        stage_.folder + "/l" + id_);
  } else {
    spec.mutable_where_to_listen()->mutable_inet()->set_address("127.0.0.1");
  }
  *spec.mutable_handler() = HandlerSpec();
  if (plan_.max_connections > 0) {
    spec.set_max_connections(plan_.max_connections);
  }
  if (plan_.age_limit.count() > 0) {
    SetDuration(spec.mutable_buffer_age_limit()->mutable_at_most(),
                plan_.age_limit);
  }
  if (!plan_.raising_closes) {
    spec.set_on_handler_error(v1::ON_HANDLER_ERROR_IGNORE);
  }
  return spec;
}

void Scene::Create() {
  v1::CreateListenerRequest request;
  request.set_listener_id(id_);
  *request.mutable_spec() = Spec();
  stage_.control.CreateListener(
      request, WhileAlive<v1::Listener>([this](const grpc::Status& status,
                                               const v1::Listener& listener) {
        if (status.ok()) return OnCreated(listener);
        if (!stage_.shut_down) {
          Wrong("CreateListener: " + status.error_message());
        }
        state_ = State::kOver;
      }));
}

void Scene::OnCreated(const v1::Listener& listener) {
  state_ = State::kPlaying;
  began_ = Clock::now();
  if (IsDial(plan_.handler)) return Dial();
  for (size_t i = 0; i < pairs_.size(); ++i) {
    Connect(pairs_[i], i, listener.status().listening_on().inet().port());
  }
  if (!IsRemote(plan_.handler)) return;
  worker_ = std::make_shared<Worker>(
      stage_.control, listener_,
      [this, alive = alive_](const v1::Connection& connection) {
        if (*alive) OnOffer(connection);
      });
  worker_->Start();
}

void Scene::Connect(Pair& pair, size_t index, int port) {
  const SidePlan& plan = plan_.pairs[index].near;
  const std::string path = plan_.near_is_unix ? stage_.folder + "/l" + id_ : "";
  const int fd = ConnectTo(port, path, plan.receive_buffer);
  if (fd < 0) {
    if (!stage_.shut_down) Wrong(std::string("connect: ") + strerror(errno));
    return;
  }
  pair.near_key = LocalKey(fd, path);
  const bool echo = plan_.handler == Handler::kEcho;
  pair.near = std::make_unique<SocketPeer>(
      fd, plan, NearContent(index),
      echo ? NearContent(index) : FarContent(index));
}

void Scene::Dial() {
  Pair& pair = pairs_.front();
  pair.stream = std::make_shared<StreamPeer>(
      stage_.control, plan_.pairs.front().far, FarContent(0), NearContent(0));
  v1::ClientFrame frame;
  *frame.mutable_dial()->mutable_where_to_connect() = Upstream();
  if (plan_.age_limit.count() > 0) {
    SetDuration(
        frame.mutable_dial()->mutable_buffer_age_limit()->mutable_at_most(),
        plan_.age_limit);
  }
  pair.stream->Start(StreamPeer::Method::kDial, frame);
}

void Scene::OnOffer(const v1::Connection& connection) {
  if (plan_.handler == Handler::kRemoteUnclaimed) return;
  const std::string key = Key(connection.peer());
  for (size_t i = 0; i < pairs_.size(); ++i) {
    Pair& pair = pairs_[i];
    if (pair.stream != nullptr) continue;
    if (pairs_.size() > 1 && pair.near_key != key) continue;
    pair.stream = std::make_shared<StreamPeer>(
        stage_.control, plan_.pairs[i].far, FarContent(i), NearContent(i));
    v1::ClientFrame frame;
    frame.mutable_attach()->set_connection(connection.name());
    pair.stream->Start(StreamPeer::Method::kAttach, frame);
    return;
  }
}

void Scene::AcceptAll() {
  const int fd = Accept(acceptor_);
  if (fd < 0) return;
  Pair& pair = pairs_.front();
  const PairPlan& plan = plan_.pairs.front();
  auto& side = IsDial(plan_.handler) ? pair.near : pair.far;
  if (side != nullptr) {
    Wrong("the daemon connected twice");
    close(fd);
  } else if (IsDial(plan_.handler)) {
    side = std::make_unique<SocketPeer>(fd, plan.near, NearContent(0),
                                        FarContent(0));
  } else {
    side = std::make_unique<SocketPeer>(fd, plan.far, FarContent(0),
                                        NearContent(0));
  }
}

// Each turn.

void Scene::AddTo(Polls& polls, TimePoint now) {
  for (Pair& pair : pairs_) {
    for (SocketPeer* const peer : {pair.near.get(), pair.far.get()}) {
      if (peer == nullptr || peer->finished()) continue;
      polls.Add(peer->fd(), peer->events(now), [peer](short revents) {
        peer->Advance(Clock::now(), revents);
      });
    }
  }
  if (acceptor_ >= 0 && plan_.handler != Handler::kForwardNowhere) {
    polls.Add(acceptor_, POLLIN, [this](short revents) {
      if ((revents & POLLIN) != 0) AcceptAll();
    });
  }
}

void Scene::Advance(TimePoint now) {
  if (over()) return;
  for (Pair& pair : pairs_) {
    if (pair.stream != nullptr) pair.stream->Advance(now);
  }
  if (state_ == State::kPlaying) {
    GiveOrders(now);
    if (AllSidesAreOver()) CloseListener();
  }
  if (state_ == State::kClosing && AllIsTold()) Check();
  if (stage_.watch_ended) NoteOver();
  if (!given_up_ && now - began_ >= kForcedClose + stage_.patience) GiveUp();
  if (given_up_ && now - ended_ >= kToGo) state_ = State::kOver;
}

// Whoever has connected, or may still be connected to.
bool Scene::AllSidesAreOver() const {
  const auto is_over = [](const Pair& pair) {
    if (pair.near != nullptr && !pair.near->finished()) return false;
    if (pair.far != nullptr && !pair.far->finished()) return false;
    if (pair.stream != nullptr && !pair.stream->finished()) return false;
    return true;
  };
  return std::all_of(pairs_.begin(), pairs_.end(), is_over);
}

bool Scene::AllIsTold() const {
  if (stage_.watch_ended) return true;
  const auto is_closed = [](const auto& told) {
    return told.second.has_value();
  };
  return determined_ && close_answered_ &&
         std::all_of(told_.begin(), told_.end(), is_closed) &&
         AllSidesAreOver();
}

// Orders from above.

void Scene::GiveOrders(TimePoint now) {
  for (size_t i = 0; i < plan_.orders.size(); ++i) {
    const Order& order = plan_.orders[i];
    if (given_[i] || now - began_ < order.after) continue;
    Give(order);
  }
}

void Scene::Give(const Order& order) {
  const size_t index = static_cast<size_t>(&order - plan_.orders.data());
  if (order.what == Order::What::kCloseListener) {
    given_[index] = true;
    return GiveToListener(order.how);
  }
  Pair& pair = pairs_[order.pair];
  if (pair.connection.empty()) return;  // Not known yet: later.
  given_[index] = true;
  GiveToConnection(pair, order.how);
}

void Scene::GiveToConnection(Pair& pair, Order::How how) {
  pair.closed_one = true;
  v1::CloseConnectionRequest request;
  request.set_name(pair.connection);
  if (how == Order::How::kReset) {
    pair.reset_called = true;
    request.set_mode(v1::CLOSE_MODE_RESET);
  } else {
    pair.close_called = true;
  }
  stage_.control.CloseConnection(
      request, WhileAlive<v1::Connection>([this](const grpc::Status& status,
                                                 const v1::Connection&) {
        const bool ok =
            status.ok() || status.error_code() == grpc::StatusCode::NOT_FOUND;
        if (!ok && !stage_.shut_down) {
          Wrong("CloseConnection: " + status.error_message());
        }
      }));
}

void Scene::GiveToListener(Order::How how) {
  v1::CloseListenerRequest request;
  request.set_name(listener_);
  request.set_wait_for(v1::WAIT_FOR_CLOSE_STARTED);
  if (how != Order::How::kLeave) {
    closed_all_ = true;
    const bool resets = how == Order::How::kReset;
    request.set_existing_connections(resets ? v1::EXISTING_CONNECTIONS_RESET
                                            : v1::EXISTING_CONNECTIONS_CLOSE);
    for (Pair& pair : pairs_) {
      (resets ? pair.reset_called : pair.close_called) = true;
    }
  }
  close_started_ = true;
  stage_.control.CloseListener(
      request, WhileAlive<v1::Listener>(
                   [this](const grpc::Status& status, const v1::Listener&) {
                     if (!status.ok() && !stage_.shut_down) {
                       Wrong("CloseListener: " + status.error_message());
                     }
                   }));
}

// Events.

void Scene::OnEvent(const v1::Event& event) {
  switch (event.kind_case()) {
    case v1::Event::kListenerCloseStarted:
      close_started_ |= state_ == State::kPlaying;
      return;
    case v1::Event::kListenerHandlersDetermined:
      determined_ = true;
      return;
    case v1::Event::kConnectionAccepted: {
      const v1::Connection& connection =
          event.connection_accepted().connection();
      told_[connection.name()];
      ++live_;
      if (plan_.max_connections > 0 && live_ > plan_.max_connections) {
        Wrong("more connections than max_connections");
      }
      for (Pair& pair : pairs_) {
        if (pairs_.size() == 1 || pair.near_key == Key(connection.peer())) {
          pair.connection = connection.name();
        }
      }
      return;
    }
    case v1::Event::kConnectionClosed:
      return OnClosed(event.connection_closed().connection());
    default:
      return;
  }
}

// Nobody will tell of an end any more.
void Scene::NoteOver() {
  for (Pair& pair : pairs_) {
    if (pair.near != nullptr) pair.near->NoteOver();
    if (pair.far != nullptr) pair.far->NoteOver();
  }
}

void Scene::OnClosed(const v1::Connection& connection) {
  --live_;
  told_[connection.name()] =
      ConnectionHistory{connection.close_reason(), connection.bytes_received(),
                        connection.bytes_sent()};
  for (Pair& pair : pairs_) {
    if (pair.connection != connection.name()) continue;
    if (pair.near != nullptr) pair.near->NoteOver();
    if (pair.far != nullptr) pair.far->NoteOver();
  }
}

}  // namespace portreeve::model
