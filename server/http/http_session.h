// HttpSession: one client of the port, from its handshake to its end.
#ifndef PORTREEVE_SERVER_HTTP_HTTP_SESSION_H_
#define PORTREEVE_SERVER_HTTP_HTTP_SESSION_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "lib/base/asio.h"
#include "lib/base/deferred.h"
#include "lib/base/time_source.h"
#include "server/http/http_message.h"
#include "server/http/http_stream.h"
#include "server/http/loop_link.h"
#include "server/http/request_reader.h"

namespace portreeve::server {

// How long each part of a client's life may take.
struct HttpTimes {
  // From the connection, or from the first byte, to the end of a header;
  // afterwards the client gets 408, if it has sent anything.
  Duration header = std::chrono::seconds(10);
  // How long a client of whom no whole request has come keeps its place where
  // all are taken and another client comes.
  Duration place = std::chrono::seconds(1);
  // Between an answer and the first byte of the next request.
  Duration idle = std::chrono::seconds(60);
  // From a request to its answer; afterwards the client gets 503.
  Duration answer = std::chrono::seconds(30);
  // For the client to take the answer; afterwards it is reset.
  Duration write = std::chrono::seconds(30);
  // From the last answer to the close, for the client to end, too.
  Duration end = std::chrono::seconds(2);
  // Of a stream's silence; afterwards the client gets a comment, which is no
  // event, so that whoever stands between sees that the stream lives.
  Duration silence = std::chrono::seconds(15);
};

// What all sessions of a server share.
struct HttpService {
  HttpTimes times;
  HttpPages pages;
  // Further names of the server, for Host.
  std::vector<std::string> host_names;
  // To the server's loop, for answers.
  std::shared_ptr<LoopLink> link;
  // How many streams there may be; further ones are answered 503.
  size_t max_streams = 64;
  size_t num_streams = 0;
};

// Requests are answered one after the other; those that a client sends ahead
// wait, and from some on in the kernel.
// Threads: loop thread only.
class HttpSession : public std::enable_shared_from_this<HttpSession> {
 public:
  struct Client {
    HttpPeer peer;
    // The server's certificate has these names.
    std::vector<std::string> host_names;
    // There are too many clients: whatever it asks for, the answer is 503.
    bool is_one_too_many = false;
  };

  // `service`, which counts its streams, must outlive it.
  HttpSession(const Executor& executor, HttpService& service,
              std::unique_ptr<HttpStream> stream, Client client);
  HttpSession(const HttpSession&) = delete;
  HttpSession& operator=(const HttpSession&) = delete;

  // Serves the client to its end.
  static Task<> Run(std::shared_ptr<HttpSession> self);

  // Its client is told so, or has given its place to another one.
  bool is_one_too_many() const { return is_one_too_many_; }
  // Since when it waits for the whole of a request; nothing while it answers.
  std::optional<TimePoint> waits_since() const { return waits_since_; }

  // Closes the socket, and counts no more among those who are served.
  void GiveWay() {
    is_one_too_many_ = true;
    Close();
  }

  // Closes the socket, if that is not done: Run() ends soon.
  void Close() { stream_->Close(); }

 private:
  // What a client sends after the last answer is thrown away up to here.
  static constexpr size_t kMostThrownAway = 256 * 1024;

  using Answer = std::shared_ptr<const HttpAnswer>;
  // Nothing: the client is gone, or its time is up, and there is nothing to
  // say.
  using Read = std::optional<std::variant<HttpRequest, RequestReader::Refused>>;

  Task<bool> Handshake();
  // The time for the `first` one began when the client connected.
  Task<Read> ReadRequest(bool first);
  // Answers; gives whether the connection goes on.
  Task<bool> AnswerTo(const HttpRequest& request);
  Task<Answer> Ask(const HttpRequest& request);
  Task<bool> Write(const HttpAnswer& answer, int version, bool is_head,
                   bool keep_alive);
  Task<> End();

  // Answers with a stream, until one of both sides ends it.
  Task<> Stream(const HttpAnswer& answer, int version);

  // Gives the refusal of a request before any page is asked; nothing where
  // there is none.
  std::optional<HttpAnswer> Refusal(const HttpRequest& request) const;
  // Gives what takes the answer of the request that is being answered.
  HttpDone Done();
  void OnAnswer(int64_t number, const Answer& answer);
  // Calls `on_late` once `time` has passed, unless another deadline is set
  // before that.
  void SetDeadline(Duration time, void (HttpSession::*on_late)());
  void CancelRead();
  void AnswerLate();
  void Reset() { stream_->Reset(); }

  HttpService& service_;
  const std::unique_ptr<HttpStream> stream_;
  const Executor executor_;
  std::shared_ptr<HttpPeer> peer_;
  const std::vector<std::string> host_names_;
  bool is_one_too_many_;
  std::optional<TimePoint> waits_since_;
  RequestReader reader_;
  Timer deadline_;
  void (HttpSession::*on_late_)() = nullptr;
  bool late_ = false;
  int64_t number_ = 0;  // Of the request that is being answered.
  std::optional<Ivar<Answer>> answer_;  // While one is asked for.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HTTP_HTTP_SESSION_H_
