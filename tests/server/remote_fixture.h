// RemoteFixture: listeners whose handler is the test.
#ifndef PORTREEVE_TESTS_SERVER_REMOTE_FIXTURE_H_
#define PORTREEVE_TESTS_SERVER_REMOTE_FIXTURE_H_

#include <memory>
#include <string>

#include "tests/server/service_fixture.h"
#include "tests/server/stream_client.h"

namespace portreeve::testing {

class RemoteFixture : public ServiceFixture {
 protected:
  using ServiceFixture::ServiceFixture;

  static int PortOf(const v1::Listener& listener) {
    return listener.status().listening_on().inet().port();
  }

  // A listener "remote" with one worker.
  void CreateRemote(const v1::ListenerSpec& spec = RemoteSpec()) {
    port_ = PortOf(Create(spec, "remote"));
    worker_ = std::make_unique<WorkerCall>(handlers(), "listeners/remote");
  }
  int port() const { return port_; }
  WorkerCall& worker() { return *worker_; }
  void LoseWorker() { worker_.reset(); }

  // A connection of that listener that its worker serves.
  struct Served {
    std::unique_ptr<PlainClient> peer;
    std::string name;
    std::unique_ptr<SocketCall> call;
  };
  Served Offered() {
    Served served;
    served.peer = std::make_unique<PlainClient>(port_);
    served.name = worker_->ReadOffered();
    return served;
  }
  Served Attached() {
    Served served = Offered();
    served.call = std::make_unique<SocketCall>(connections(), served.name);
    served.call->ReadOpened();
    return served;
  }

  // That the worker still gets connections, and they still work.
  void ExpectStillServing() {
    Served served = Attached();
    served.peer->Send("ping");
    EXPECT_EQ(served.call->ReadData(4), "ping");
    served.call->SendData("pong");
    served.call->Send(DoneFrame());
    EXPECT_EQ(served.peer->ReceiveAll(), "pong|EOF");
    EXPECT_EQ(served.call->Rest(), "closed HANDLER_DONE|OK");
  }

  bool HasEvent(v1::Event::KindCase kind) {
    for (const v1::Event& event : Events()) {
      if (event.kind_case() == kind) return true;
    }
    return false;
  }

 private:
  int port_ = 0;
  std::unique_ptr<WorkerCall> worker_;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_SERVER_REMOTE_FIXTURE_H_
