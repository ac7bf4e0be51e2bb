#include "client/cli/command_server.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/address.h"
#include "client/cli/close_reason.h"
#include "client/cli/copy.h"
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

// All of `bytes`; false once the command has let go.
bool SendToCommand(int socket, absl::string_view bytes) {
  while (!bytes.empty()) {
    // No SIGPIPE for us.
    const ssize_t sent = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR) return false;
    if (sent > 0) bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

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
                                                  int socket) {
  while (true) {
    const absl::StatusOr<v1::ServerFrame> frame = stream.Read();
    if (!frame.ok()) return frame.status();
    if (frame->has_closed()) return frame->closed().reason();
    if (frame->has_eof()) {
      // After a reset it cannot write, either: `closed` is next.
      if (!frame->eof().reset()) shutdown(socket, SHUT_WR);
    } else {
      // Where nobody reads them any more, bytes are forgotten until `closed`.
      SendToCommand(socket, frame->data());
    }
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
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
  for (const Job& job : jobs_) {
    if (job.stream != nullptr) job.stream->Cancel();
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

void CommandServer::SetEnds(Jobs::iterator job, client::Stream* stream,
                            int socket) {
  absl::MutexLock lock(&mutex_);
  job->stream = stream;
  job->socket = socket;
  if (stopping_ && stream != nullptr) stream->Cancel();
}

void CommandServer::Run(Jobs::iterator job, const std::string& name) {
  absl::StatusOr<client::Stream> stream = client_.Attach(name, options_.call);
  if (stream.ok()) {
    absl::StatusOr<Command> command =
        Command::Start(options_.line, Variables(stream->connection()));
    if (command.ok()) {
      Connect(job, *stream, *command);
      const std::string failure = FailureText(command->Wait(options_.grace));
      if (!failure.empty()) {
        notes_.Say(absl::StrCat(name, ": the command ", failure));
      }
    } else {
      notes_.Say(absl::StrCat(name, ": ", command.status().message()));
      stream->Reset().IgnoreError();
      ReceiveForCommand(*stream, -1).status().IgnoreError();
    }
  } else {
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

void CommandServer::Connect(Jobs::iterator job, client::Stream& stream,
                            Command& command) {
  SetEnds(job, &stream, command.socket());
  std::thread sender;
  try {
    sender = std::thread([&] { SendFromCommand(command, stream); });
  } catch (const std::system_error& error) {
    notes_.Say(
        absl::StrCat("no thread for a command: ", error.code().message()));
    stream.Cancel();
  }
  const std::string name = stream.connection().name();
  const auto reason = ReceiveForCommand(stream, command.socket());
  shutdown(command.socket(), SHUT_RDWR);
  if (sender.joinable()) sender.join();
  SetEnds(job, nullptr, -1);
  if (reason.ok() && !ClosedInOrder(*reason)) {
    notes_.Say(absl::StrCat(name, ": cut: ", CloseReasonText(*reason)));
  } else if (!reason.ok() && !absl::IsCancelled(reason.status())) {
    notes_.Say(absl::StrCat(name, ": cut: ", reason.status().message()));
  }
}

}  // namespace portreeve::cli
