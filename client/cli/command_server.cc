#include "client/cli/command_server.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <functional>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/address.h"
#include "client/cli/close_reason.h"
#include "client/cli/copy.h"
#include "client/cli/patience.h"
#include "client/cli/poll_until.h"
#include "client/error.h"

namespace portreeve::cli {
namespace {

// What the command may know of its connection.
std::map<std::string, std::string> Variables(const v1::Connection& connection) {
  return {{"PORTREEVE_CONNECTION", connection.name()},
          {"PORTREEVE_LISTENER", connection.listener()},
          {"PORTREEVE_PEER", client::ToText(connection.peer())},
          {"PORTREEVE_LOCAL", client::ToText(connection.local())}};
}

// How long the question may take whether a connection is there: meanwhile its
// command gets nothing.
constexpr absl::Duration kAsk = absl::Seconds(1);

// What a command reads.
class CommandInput {
 public:
  // `is_there` says whether the connection is, as far as is known.
  CommandInput(int socket, Patience& patience, std::function<bool()> is_there)
      : socket_(socket), patience_(patience), is_there_(std::move(is_there)) {}

  // Sends all of `bytes`, unless the command has let go, or takes nothing any
  // more after the end of its connection: then they are forgotten.
  void Send(absl::string_view bytes) {
    while (!bytes.empty()) {
      // No SIGPIPE for us.
      const ssize_t sent = send(socket_, bytes.data(), bytes.size(),
                                MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent > 0) {
        bytes.remove_prefix(static_cast<size_t>(sent));
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        AwaitRoom();
      } else if (errno != EINTR) {
        return;
      }
    }
  }

  void SendEof() const { shutdown(socket_, SHUT_WR); }

 private:
  void AwaitRoom() {
    switch (patience_.OnBlocked(absl::Now())) {
      case Patience::Step::kWait: {
        pollfd room = {socket_, POLLOUT, 0};
        PollUntil(room, patience_.next());
        break;
      }
      case Patience::Step::kAsk: {
        const bool is_there = is_there_();
        patience_.OnAnswer(absl::Now(), is_there);
        break;
      }
      case Patience::Step::kGiveUp:
        shutdown(socket_, SHUT_RDWR);
    }
  }

  const int socket_;
  Patience& patience_;
  const std::function<bool()> is_there_;
};

// Waits until neither side of the socket can be written any more.
void AwaitHangup(int socket) {
  pollfd one = {socket, 0, 0};
  while (poll(&one, 1, -1) < 0 && errno == EINTR) {
  }
}

// What the command writes, then its end.
void SendFromCommand(const Command& command, client::Stream& stream) {
  const absl::StatusOr<bool> ended = SendAll(command.socket(), -1, stream);
  if (ended.ok() && !*ended) {
    // The connection has ended before: SIGPIPE for what it writes on.
    shutdown(command.socket(), SHUT_RDWR);
    return;
  }
  // Not OK, it has let go with bytes unread, which is ECONNRESET.
  if (ended.ok() && !command.HasLetGo()) {
    stream.SendEof().IgnoreError();  // Fails where it is closed already.
    AwaitHangup(command.socket());
  }
  stream.Done().IgnoreError();
}

// What the peer sends, then its end; until the connection is closed.
absl::StatusOr<v1::CloseReason> ReceiveForCommand(client::Stream& stream,
                                                  CommandInput& input) {
  while (true) {
    const absl::StatusOr<v1::ServerFrame> frame = stream.Read();
    if (!frame.ok()) return frame.status();
    if (frame->has_closed()) return frame->closed().reason();
    if (frame->has_eof()) {
      // After a reset it cannot write, either: `closed` is next.
      if (!frame->eof().reset()) input.SendEof();
    } else {
      input.Send(frame->data());
    }
  }
}

// Forgets what the peer sends.
void AwaitClosed(client::Stream& stream) {
  while (true) {
    const absl::StatusOr<v1::ServerFrame> frame = stream.Read();
    if (!frame.ok() || frame->has_closed()) return;
  }
}

}  // namespace

CommandServer::~CommandServer() { AwaitAll(); }

void CommandServer::Serve(const v1::Connection& offered) {
  std::vector<std::thread> finished;
  {
    absl::MutexLock lock(&mutex_);
    finished.swap(finished_);
    if (!stopping_) {
      const auto job = jobs_.emplace(jobs_.end());
      try {
        job->thread =
            std::thread([this, job, name = offered.name()] { Run(job, name); });
      } catch (const std::system_error& error) {
        // Not claimed, it goes to another worker.
        jobs_.erase(job);
        notes_.Say(absl::StrCat(
            offered.name(), ": no thread for it: ", error.code().message()));
      }
    }
  }
  Join(std::move(finished));
}

void CommandServer::Stop() {
  canceller_.Cancel();
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
  for (const Job& job : jobs_) {
    if (job.socket >= 0) shutdown(job.socket, SHUT_RDWR);
  }
}

void CommandServer::AwaitAll() {
  std::vector<std::thread> finished;
  {
    absl::MutexLock lock(&mutex_);
    while (!jobs_.empty()) changed_.Wait(&mutex_);
    finished.swap(finished_);
  }
  Join(std::move(finished));
}

void CommandServer::Join(std::vector<std::thread> threads) {
  for (std::thread& thread : threads) thread.join();
}

void CommandServer::SetSocket(Jobs::iterator job, int socket) {
  absl::MutexLock lock(&mutex_);
  job->socket = socket;
}

bool CommandServer::IsThere(const v1::Connection& served) {
  const auto connection = client_.GetConnection(
      served.name(), {.timeout = kAsk, .canceller = &canceller_});
  if (!connection.ok()) {
    return !absl::IsNotFound(connection.status()) &&
           !client::IsUnreachable(connection.status());
  }
  // A daemon that was started anew gives the same names.
  const auto& began = served.create_time();
  const auto& begins = connection->create_time();
  return connection->state() != v1::CONNECTION_STATE_CLOSED &&
         began.seconds() == begins.seconds() && began.nanos() == begins.nanos();
}

void CommandServer::Run(Jobs::iterator job, const std::string& name) {
  client::CallOptions call = options_.call();
  call.canceller = &canceller_;
  absl::StatusOr<client::Stream> stream = client_.AttachOffered(name, call);
  if (stream.ok()) {
    absl::StatusOr<Command> command =
        Command::Start(options_.line, Variables(stream->connection()));
    if (command.ok()) {
      const absl::Time until = Connect(job, *stream, *command);
      const std::string failure = FailureText(command->Wait(until));
      if (!failure.empty()) {
        notes_.Say(absl::StrCat(name, ": the command ", failure));
      }
    } else {
      notes_.Say(absl::StrCat(name, ": ", command.status().message()));
      stream->Reset().IgnoreError();
      AwaitClosed(*stream);
    }
  } else if (!canceller_.is_cancelled() && !client::HasMoved(stream.status())) {
    const std::string reason = client::DetailsOf(stream.status()).reason;
    notes_.Say(absl::StrCat(name, ": not attached: ", reason,
                            reason.empty() ? "" : ": ",
                            stream.status().message()));
  }
  absl::MutexLock lock(&mutex_);
  finished_.push_back(std::move(job->thread));
  jobs_.erase(job);
  changed_.SignalAll();
}

absl::Time CommandServer::Connect(Jobs::iterator job, client::Stream& stream,
                                  Command& command) {
  SetSocket(job, command.socket());
  std::thread sender;
  try {
    sender = std::thread([&] { SendFromCommand(command, stream); });
  } catch (const std::system_error& error) {
    notes_.Say(
        absl::StrCat("no thread for a command: ", error.code().message()));
    stream.Cancel();
  }
  const v1::Connection& connection = stream.connection();
  const std::string& name = connection.name();
  Patience patience(options_.grace);
  CommandInput input(command.socket(), patience,
                     [&] { return IsThere(connection); });
  const auto reason = ReceiveForCommand(stream, input);
  shutdown(command.socket(), SHUT_RDWR);
  if (sender.joinable()) sender.join();
  SetSocket(job, -1);
  if (reason.ok() && !ClosedInOrder(*reason)) {
    notes_.Say(absl::StrCat(name, ": cut: ", CloseReasonText(*reason)));
  } else if (!reason.ok() && !absl::IsCancelled(reason.status())) {
    notes_.Say(absl::StrCat(name, ": cut: ", reason.status().message()));
  }
  // Who has given up has waited for as long as that.
  return absl::Now() +
         (patience.has_given_up() ? absl::ZeroDuration() : options_.grace);
}

}  // namespace portreeve::cli
