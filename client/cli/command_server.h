// CommandServer: serves connections with commands, one each.
#ifndef PORTREEVE_CLIENT_CLI_COMMAND_SERVER_H_
#define PORTREEVE_CLIENT_CLI_COMMAND_SERVER_H_

#include <functional>
#include <list>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/call_options.h"
#include "client/canceller.h"
#include "client/cli/command.h"
#include "client/cli/notes.h"
#include "client/client.h"
#include "client/stream.h"

namespace portreeve::cli {

// Serves any number of connections at the same time, each with two threads.
//
// A command's socket is its connection: the command reads EOF after the peer's
// FIN, and once the connection is cut, which a note reports; its shutdown()
// sends FIN; when it has ended, or closed its stdin and stdout, the connection
// is done.  A command that runs on after its connection has closed gets SIGTERM
// after a grace period, in which it may take what came before the end.
class CommandServer {
 public:
  struct Options {
    CommandLine line;
    // The time between the end of a connection and SIGTERM.
    absl::Duration grace;
    // Gives the options of the next stream.  Threads: any.
    std::function<client::CallOptions()> call;
  };

  // `client` and `notes` must outlive this.
  CommandServer(client::Client& client, Options options, Notes& notes)
      : client_(client), options_(std::move(options)), notes_(notes) {}
  CommandServer(const CommandServer&) = delete;
  CommandServer& operator=(const CommandServer&) = delete;
  // Calls AwaitAll().
  ~CommandServer();

  // Starts to serve the connection that was offered; what goes wrong is noted.
  void Serve(const v1::Connection& offered);

  // Cuts every connection that there is or will be.
  void Stop();

  // Waits until every command and connection has ended.
  void AwaitAll();

 private:
  struct Job {
    std::thread thread;
    int socket = -1;  // The command's; -1 while there is none.
  };
  using Jobs = std::list<Job>;

  void Run(Jobs::iterator job, const std::string& name);
  // Joins `stream` and `command` until the connection is closed, and gives
  // until when the command may run on.
  absl::Time Connect(Jobs::iterator job, client::Stream& stream,
                     Command& command);
  void Join(std::vector<std::thread> threads);
  void SetSocket(Jobs::iterator job, int socket);
  // Whether the daemon has the connection, as far as it can be asked.
  bool IsThere(const v1::Connection& served);

  client::Client& client_;
  const Options options_;
  Notes& notes_;
  client::Canceller canceller_;

  absl::Mutex mutex_;
  absl::CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  Jobs jobs_ ABSL_GUARDED_BY(mutex_);
  // The threads of jobs that are no more.
  std::vector<std::thread> finished_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_COMMAND_SERVER_H_
