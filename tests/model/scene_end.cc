// How a scene ends, and what is made of it.
#include <algorithm>
#include <sstream>

#include "tests/model/scene.h"
#include "tests/model/verdict.h"

namespace portreeve::model {

void Scene::CloseListener() {
  state_ = State::kClosing;
  ended_ = Clock::now();
  v1::CloseListenerRequest request;
  request.set_name(listener_);
  request.set_wait_for(v1::WAIT_FOR_HANDLERS_DETERMINED);
  stage_.control.CloseListener(
      request, WhileAlive<v1::Listener>(
                   [this](const grpc::Status& status, const v1::Listener&) {
                     close_answered_ = true;
                     if (!status.ok() && !stage_.shut_down) {
                       Wrong("CloseListener: " + status.error_message());
                     }
                   }));
}

void Scene::Check() {
  state_ = State::kChecking;
  for (size_t i = 0; i < pairs_.size() && !given_up_; ++i) {
    for (const std::string& wrong : Judge(HistoryOf(pairs_[i]))) {
      Wrong(pairs_.size() == 1 ? wrong
                               : wrong + " (pair " + std::to_string(i) + ")");
    }
  }
  if (stage_.watch_ended) {
    for (const auto& [name, told] : told_) {
      if (!told) Wrong("the daemon never told of the end of " + name);
    }
    return Finish();
  }
  stage_.control.GetListener(
      listener_, WhileAlive<v1::Listener>([this](const grpc::Status& status,
                                                 const v1::Listener& listener) {
        if (!status.ok() && !stage_.shut_down) {
          Wrong("GetListener: " + status.error_message());
        }
        if (listener.status().num_connections() != 0) {
          Wrong("num_connections is " +
                std::to_string(listener.status().num_connections()));
        }
        Delete();
      }));
}

void Scene::Delete() {
  stage_.control.DeleteListener(
      listener_, WhileAlive<google::protobuf::Empty>(
                     [this](const grpc::Status& status, const auto&) {
                       if (!status.ok() && !stage_.shut_down) {
                         Wrong("DeleteListener: " + status.error_message());
                       }
                       Finish();
                     }));
}

void Scene::Finish() {
  if (worker_ != nullptr) worker_->Cancel();
  state_ = State::kOver;
}

// It hangs: what there is of it is taken away.
void Scene::GiveUp() {
  given_up_ = true;
  std::string open;
  for (const Pair& pair : pairs_) {
    if (pair.near != nullptr && !pair.near->finished()) open += ", near";
    if (pair.far != nullptr && !pair.far->finished()) open += ", far";
    if (pair.stream != nullptr && !pair.stream->finished()) open += ", stream";
  }
  if (AllSidesAreOver()) open += ", the daemon";
  Wrong("it is not over in time; what hangs:" + open.substr(1));
  ended_ = Clock::now();
  seen_hanging_ = Seen();
  GiveToListener(Order::How::kReset);
  for (Pair& pair : pairs_) {
    if (pair.stream != nullptr) pair.stream->Cancel();
    if (pair.near != nullptr) pair.near->GiveUp();
    if (pair.far != nullptr) pair.far->GiveUp();
  }
  if (worker_ != nullptr) worker_->Cancel();
}

PairHistory Scene::HistoryOf(const Pair& pair) const {
  PairHistory history;
  history.handler = plan_.handler;
  history.age_limited = plan_.age_limit.count() > 0;
  history.close_called = pair.close_called;
  history.reset_called = pair.reset_called;
  history.closed_one = pair.closed_one;
  history.closed_all = closed_all_;
  history.listener_closed = close_started_;
  history.shut_down = stage_.shut_down;
  if (pair.near != nullptr) history.near = pair.near->history();
  if (pair.far != nullptr) history.far = pair.far->history();
  if (pair.stream != nullptr) history.far = pair.stream->history();
  const auto told = told_.find(pair.connection);
  if (told != told_.end()) history.connection = told->second;
  history.lasted = std::chrono::duration_cast<Milliseconds>(ended_ - began_);
  return history;
}

std::vector<v1::CloseReason> Scene::Reasons() const {
  std::vector<v1::CloseReason> reasons;
  for (const auto& [name, told] : told_) {
    if (told) reasons.push_back(told->reason);
  }
  return reasons;
}

std::string Scene::Seen() const {
  if (!seen_hanging_.empty()) return seen_hanging_;
  std::ostringstream out;
  for (size_t i = 0; i < pairs_.size(); ++i) {
    out << "  pair " << i << "\n" << ToText(HistoryOf(pairs_[i]));
  }
  return out.str();
}

}  // namespace portreeve::model
