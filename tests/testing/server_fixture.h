// ServerFixture: a server whose handlers the test steers, and plain clients.
#ifndef PORTREEVE_TESTS_TESTING_SERVER_FIXTURE_H_
#define PORTREEVE_TESTS_TESTING_SERVER_FIXTURE_H_

#include <stdlib.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "lib/serve/server.h"
#include "tests/testing/loop_fixture.h"
#include "tests/testing/raw_client.h"

namespace portreeve::testing {

// A folder that is removed at the end, with all that is in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = "/tmp/portreeve-test-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~TemporaryFolder() {
    if (system(("rm -rf " + path_).c_str()) != 0) std::abort();
  }
  std::string File(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

template <AddressKind A>
class ServerFixture : public LoopFixture {
 protected:
  // One call of the handler.  The handler waits until the test says how it
  // ends.
  struct Call {
    typename A::Address address;
    Reader* reader;
    Writer* writer;
    Monitor monitor;        // The one that is current in the handler.
    Ivar<std::string> end;  // "" returns; another text is thrown.
    bool over = false;      // The handler ends.
  };

  // Gives a handler that waits for Call::end.
  typename Server<A>::Handler Steered() {
    return [this](typename A::Address address, Reader& reader,
                  Writer& writer) -> Task<> {
      return RunSteered(this, address, reader, writer);
    };
  }

  // Gives a handler that sends back what comes, line by line, until the end of
  // file.
  typename Server<A>::Handler Echo() {
    return [this](typename A::Address address, Reader& reader,
                  Writer& writer) -> Task<> {
      return RunEcho(this, address, reader, writer);
    };
  }

  // Gives where a new server listens: a port that the OS chooses, or a new
  // file.
  WhereToListen<A> Where() {
    if constexpr (std::is_same_v<A, Inet>) {
      return WhereToListen<Inet>::OfLocalhost(0);
    } else {
      return WhereToListen<Unix>::OfFile(
          folder_.File("socket" + std::to_string(++num_files_)));
    }
  }

  // Creates a server, which the fixture tears down in the end.
  Server<A>& Create(typename Server<A>::Handler handler,
                    ServerOptions options = {},
                    OnHandlerError<A> on_handler_error = RaiseHandlerError()) {
    return CreateAt(Where(), std::move(handler), std::move(options),
                    std::move(on_handler_error));
  }
  Server<A>& CreateAt(
      const WhereToListen<A>& where, typename Server<A>::Handler handler,
      ServerOptions options = {},
      OnHandlerError<A> on_handler_error = RaiseHandlerError()) {
    auto server =
        Server<A>::Create(executor(), where, std::move(on_handler_error),
                          std::move(handler), std::move(options));
    if (!server.ok()) throw std::runtime_error(server.status().ToString());
    servers_.push_back(*std::move(server));
    return *servers_.back();
  }
  // Does the same, on `socket` if there is one, but gives the error, if there
  // is one.
  absl::Status TryCreate(const WhereToListen<A>& where,
                         std::optional<Descriptor> socket = std::nullopt,
                         ServerOptions options = {}) {
    auto server =
        Server<A>::Create(executor(), where, RaiseHandlerError(), Steered(),
                          std::move(options), std::move(socket));
    if (!server.ok()) return server.status();
    Adopt(*std::move(server));
    return absl::OkStatus();
  }
  void Adopt(std::unique_ptr<Server<A>> server) {
    servers_.push_back(std::move(server));
  }

  RawClient NewClient() {
    return RawClient(loop(), [this](const std::function<bool()>& condition) {
      return RunUntil(condition);
    });
  }
  // Gives a client that is connected; the loop has not run since.
  RawClient ConnectedClient(const Server<A>& server) {
    RawClient client = NewClient();
    EXPECT_EQ(client.Connect(server.listening_on_address()), "ok");
    return client;
  }

  // Waits for the handler's call number `index`, counted from 0.
  Call& WaitForCall(size_t index) {
    RunUntil([&] { return calls_.size() > index; });
    return *calls_.at(index);
  }
  const std::vector<std::unique_ptr<Call>>& calls() const { return calls_; }

  // Tears down every server, in this step; the handlers are cancelled.
  void TearDownServers() {
    for (auto& server : servers_) Run(server->TearDown());
    servers_.clear();
  }
  void TearDown() override { TearDownServers(); }

  TemporaryFolder& folder() { return folder_; }

 private:
  static Task<> RunSteered(ServerFixture* self, typename A::Address address,
                           Reader& reader, Writer& writer) {
    const Executor executor = co_await asio::this_coro::executor;
    const Ivar<std::string> end(executor);
    self->calls_.push_back(std::make_unique<Call>(
        Call{address, &reader, &writer, executor.monitor(), end}));
    Call& call = *self->calls_.back();
    const std::string text = co_await end.deferred().Wait();
    call.over = true;
    if (!text.empty()) throw std::runtime_error(text);
  }

  static Task<> RunEcho(ServerFixture* self, typename A::Address address,
                        Reader& reader, Writer& writer) {
    const Executor executor = co_await asio::this_coro::executor;
    const Ivar<std::string> end(executor);
    self->calls_.push_back(std::make_unique<Call>(
        Call{address, &reader, &writer, executor.monitor(), end}));
    Call& call = *self->calls_.back();
    while (auto line = co_await reader.ReadLine()) writer.Write(*line + "\n");
    call.over = true;
  }

  TemporaryFolder folder_;
  int num_files_ = 0;
  std::vector<std::unique_ptr<Call>> calls_;
  std::vector<std::unique_ptr<Server<A>>> servers_;
};

using InetServerTest = ServerFixture<Inet>;
using UnixServerTest = ServerFixture<Unix>;

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_SERVER_FIXTURE_H_
