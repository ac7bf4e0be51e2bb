#include "server/http/http_session.h"

#include <exception>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "lib/base/monitor.h"
#include "server/http/answer_head.h"
#include "server/http/feed_writer.h"
#include "server/http/host_names.h"

namespace portreeve::server {

namespace {

constexpr char kTooManyStreams[] = "there are too many streams\n";

// Counts a stream while it is there.
class StreamCount {
 public:
  explicit StreamCount(size_t& count) : count_(count) { ++count_; }
  StreamCount(const StreamCount&) = delete;
  StreamCount& operator=(const StreamCount&) = delete;
  ~StreamCount() { --count_; }

 private:
  size_t& count_;
};

// Gives the page of a path; null where there is none.
const HttpPage* PageOf(const HttpPages& pages, const std::string& path) {
  auto found = pages.find(path);
  const size_t folder = path.rfind('/') + 1;
  if (found == pages.end() && folder > 1) {
    found = pages.find(path.substr(0, folder));
  }
  return found == pages.end() ? nullptr : &found->second;
}

}  // namespace

HttpSession::HttpSession(const Executor& executor, HttpService& service,
                         std::unique_ptr<HttpStream> stream, Client client)
    : service_(service),
      stream_(std::move(stream)),
      executor_(executor),
      peer_(std::make_shared<HttpPeer>(std::move(client.peer))),
      host_names_(std::move(client.host_names)),
      is_one_too_many_(client.is_one_too_many),
      waits_since_(TimeSource::Of(executor).Now()),
      deadline_(TimeSource::Of(executor)) {}

Task<> HttpSession::Run(std::shared_ptr<HttpSession> self) {
  // A handshake is not told to end: it may just be between two of its reads.
  self->SetDeadline(self->service_.times.header, &HttpSession::Close);
  if (!co_await self->Handshake()) co_return;
  self->on_late_ = &HttpSession::CancelRead;
  bool goes_on = true;
  for (bool first = true; goes_on; first = false) {
    if (!first) self->waits_since_ = TimeSource::Of(self->executor_).Now();
    const Read read = co_await self->ReadRequest(first);
    self->waits_since_.reset();
    if (!read && !self->late_) co_return;
    if (!read) break;
    if (const auto* refused = std::get_if<RequestReader::Refused>(&*read)) {
      goes_on = co_await self->Write(refused->answer, refused->version,
                                     refused->is_head, false);
    } else {
      goes_on = co_await self->AnswerTo(std::get<HttpRequest>(*read));
    }
  }
  co_await self->End();
}

Task<bool> HttpSession::Handshake() {
  auto [error, names] = co_await stream_->Handshake();
  peer_->names = std::move(names);
  co_return !error && !late_;
}

Task<HttpSession::Read> HttpSession::ReadRequest(bool first) {
  late_ = false;
  bool begun = !reader_.empty();
  if (!first) {
    SetDeadline(begun ? service_.times.header : service_.times.idle,
                &HttpSession::CancelRead);
  }
  while (true) {
    auto next = reader_.Take();
    if (auto* request = std::get_if<HttpRequest>(&next)) {
      request->peer = peer_;
      co_return *std::move(request);
    }
    if (auto* refused = std::get_if<RequestReader::Refused>(&next)) {
      co_return *std::move(refused);
    }
    // Empty lines before it, which the reader skips, do not begin a request.
    if (!begun && !reader_.empty()) {
      begun = true;
      if (!first) SetDeadline(service_.times.header, &HttpSession::CancelRead);
    }
    const auto [error, size] = co_await stream_->Read(reader_.Space());
    if (late_ && !reader_.empty()) {
      co_return RequestReader::Refused{
          {408, "the header did not come in time\n"}};
    }
    if (error || late_) co_return std::nullopt;
    reader_.Add(size);
  }
}

std::optional<HttpAnswer> HttpSession::Refusal(
    const HttpRequest& request) const {
  if (is_one_too_many_) {
    return HttpAnswer{503, "there are too many connections\n"};
  }
  if (request.host && !IsOwnHost(*request.host, host_names_) &&
      !IsOwnHost(*request.host, service_.host_names)) {
    return HttpAnswer{
        421,
        "this server has another name than Host says: it is an address, "
        "localhost, a name of its certificate, or one of --http-host\n"};
  }
  return std::nullopt;
}

Task<bool> HttpSession::AnswerTo(const HttpRequest& request) {
  if (const auto refusal = Refusal(request)) {
    co_return co_await Write(*refusal, request.version, request.is_head, false);
  }
  const Answer answer = co_await Ask(request);
  const bool keep_alive = request.keep_alive && !late_;
  if (answer->feed != nullptr && !request.is_head) {
    if (service_.num_streams >= service_.max_streams) {
      const HttpAnswer too_many{503, kTooManyStreams};
      co_return co_await Write(too_many, request.version, false, keep_alive);
    }
    co_await Stream(*answer, request.version);
    co_return false;
  }
  // A stream ends with its connection, and its head says so.
  co_return co_await Write(*answer, request.version, request.is_head,
                           keep_alive && answer->feed == nullptr);
}

Task<HttpSession::Answer> HttpSession::Ask(const HttpRequest& request) {
  const HttpPage* const page = PageOf(service_.pages, request.path);
  if (page == nullptr) {
    co_return std::make_shared<const HttpAnswer>(
        HttpAnswer{404, "there is no such page\n"});
  }
  ++number_;
  late_ = false;
  answer_.emplace(executor_);
  const Deferred<Answer> answer = answer_->deferred();
  SetDeadline(service_.times.answer, &HttpSession::AnswerLate);
  try {
    (*page)(request, Done());
  } catch (...) {
    Monitor::TopLevel().Send(std::current_exception());
    answer_->FillIfEmpty(std::make_shared<const HttpAnswer>(
        HttpAnswer{500, "this page has failed\n"}));
  }
  Answer given = co_await answer.Wait();
  answer_.reset();
  co_return given;
}

HttpDone HttpSession::Done() {
  return [link = service_.link, session = weak_from_this(),
          number = number_](HttpAnswer answer) {
    auto given = std::make_shared<const HttpAnswer>(std::move(answer));
    link->Post([session, number, given = std::move(given)] {
      if (const auto self = session.lock()) self->OnAnswer(number, given);
    });
  };
}

void HttpSession::OnAnswer(int64_t number, const Answer& answer) {
  if (number == number_ && answer_) answer_->FillIfEmpty(answer);
}

Task<bool> HttpSession::Write(const HttpAnswer& answer, int version,
                              bool is_head, bool keep_alive) {
  SetDeadline(service_.times.write, &HttpSession::Reset);
  const std::string head = AnswerHead(answer, version, keep_alive, absl::Now());
  const std::string_view body = is_head ? "" : std::string_view(answer.body);
  const error_code error = co_await stream_->Write(head, body);
  co_return !error && keep_alive;
}

Task<> HttpSession::Stream(const HttpAnswer& answer, int version) {
  const StreamCount count(service_.num_streams);
  SetDeadline(service_.times.write, &HttpSession::Reset);
  const std::string head = AnswerHead(answer, version, false, absl::Now());
  const error_code error = co_await stream_->Write(head, "");
  deadline_.Cancel();
  if (error) co_return;
  FeedWriter writer(executor_, *stream_, service_.times.write,
                    service_.times.silence);
  co_await writer.Run(answer.feed);
}

Task<> HttpSession::End() {
  SetDeadline(service_.times.end, &HttpSession::Close);
  co_await stream_->End(kMostThrownAway);
}

void HttpSession::SetDeadline(Duration time, void (HttpSession::*on_late)()) {
  on_late_ = on_late;
  deadline_.StartAfter(time, [this] { (this->*on_late_)(); });
}

void HttpSession::CancelRead() {
  late_ = true;
  stream_->Cancel();
  // TLS may have been between two reads of one record, and read on.
  SetDeadline(service_.times.end, &HttpSession::Reset);
}

void HttpSession::AnswerLate() {
  late_ = true;
  const auto seconds = absl::FormatDuration(
      absl::FromChrono(std::chrono::nanoseconds(service_.times.answer)));
  answer_->FillIfEmpty(std::make_shared<const HttpAnswer>(HttpAnswer{
      503, absl::StrCat("there was no answer within ", seconds, "\n")}));
}

}  // namespace portreeve::server
