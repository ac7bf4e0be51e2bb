// Serves connections with commands, one each.
#ifndef PORTREEVE_CLIENT_CLI_COMMAND_SERVER_H_
#define PORTREEVE_CLIENT_CLI_COMMAND_SERVER_H_

#include <list>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/call_options.h"
#include "client/cli/command.h"
#include "client/cli/notes.h"
#include "client/client.h"
#include "client/stream.h"

namespace portreeve::cli {

// Any number at the same time, each with two threads.
//
// A command's socket is its connection: it reads EOF after the peer's FIN, and
// once the connection is cut, which a note tells; what it says by shutdown() is
// FIN; when it has ended, or closed its stdin and stdout, the connection is
// done.  A command that runs on after its connection has closed gets SIGTERM
// after a grace period.
class CommandServer {
 public:
  struct Options {
    CommandLine line;
    // Between the end of a connection and SIGTERM.
    absl::Duration grace;
    // Of each stream.
    client::CallOptions call;
  };

  // `client` and `notes` outlive this.
  CommandServer(client::Client& client, Options options, Notes& notes)
      : client_(client), options_(std::move(options)), notes_(notes) {}
  CommandServer(const CommandServer&) = delete;
  CommandServer& operator=(const CommandServer&) = delete;
  // Awaits all.
  ~CommandServer();

  // Starts to serve what was offered; what goes wrong is noted.
  void Serve(const v1::Connection& offered);

  // Cuts every connection, now and later.
  void Stop();

  // Waits until every command and connection has ended.
  void AwaitAll();

 private:
  struct Job {
    std::thread thread;
    // What Stop ends; null and -1 while there is none.
    client::Stream* stream = nullptr;
    int socket = -1;
  };
  using Jobs = std::list<Job>;

  void Run(Jobs::iterator job, const std::string& name);
  // Until the connection is closed.
  void Connect(Jobs::iterator job, client::Stream& stream, Command& command);
  void Join(std::vector<std::thread> threads);
  void SetEnds(Jobs::iterator job, client::Stream* stream, int socket);

  client::Client& client_;
  const Options options_;
  Notes& notes_;

  absl::Mutex mutex_;
  absl::CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  Jobs jobs_ ABSL_GUARDED_BY(mutex_);
  // Of jobs that are no more.
  std::vector<std::thread> finished_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_COMMAND_SERVER_H_
