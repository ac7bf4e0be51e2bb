// The streams of ConnectionService and HandlerService: how their services end
// them, and what is audited.
#include <gtest/gtest.h>

#include <regex>
#include <string>
#include <vector>

#include "tests/server/remote_fixture.h"
#include "tests/testing/audit_lines.h"

namespace portreeve::testing {
namespace {

class EndStreamsTest : public RemoteFixture {
 protected:
  EndStreamsTest() { CreateRemote(); }

  void EndStreams() {
    OnLoop([this] {
      sockets_ended_ = connection_service().EndStreams();
      workers_ended_ = handler_service().EndStreams();
    });
  }
  bool SocketsEnded() {
    return OnLoop([this] { return sockets_ended_->determined(); });
  }
  bool WorkersEnded() {
    return OnLoop([this] { return workers_ended_->determined(); });
  }

 private:
  std::optional<Deferred<>> sockets_ended_;
  std::optional<Deferred<>> workers_ended_;
};

TEST_F(EndStreamsTest, ThoseThatServeEndByThemselves) {
  const Served served = Attached();
  EndStreams();
  EXPECT_FALSE(SocketsEnded());
  EXPECT_FALSE(WorkersEnded());
  served.peer->Send("x");
  EXPECT_EQ(served.call->ReadData(1), "x");
  served.call->Send(DoneFrame());
  EXPECT_EQ(served.call->Rest(), "closed HANDLER_DONE|OK");
  WaitUntil([this] { return SocketsEnded(); });
  EXPECT_FALSE(WorkersEnded());
  Close("listeners/remote");
  EXPECT_EQ(worker().Rest(), "OK");
  WaitUntil([this] { return WorkersEnded(); });
}

TEST_F(EndStreamsTest, LaterOnesAndThoseThatSentNothingAreRefused) {
  const Served offered = Offered();
  SocketCall attach(connections(), &SocketCall::Stub::Attach);
  SocketCall dial(connections(), &SocketCall::Stub::Dial);
  EndStreams();
  EXPECT_EQ(attach.Rest(), "14 / SHUTTING_DOWN");
  EXPECT_EQ(dial.Rest(), "14 / SHUTTING_DOWN");
  WaitUntil([this] { return SocketsEnded(); });
  SocketCall later(connections(), offered.name);
  EXPECT_EQ(later.Rest(), "14 / SHUTTING_DOWN");
  WorkerCall worker(handlers(), "listeners/remote");
  EXPECT_EQ(worker.Rest(), "14 / SHUTTING_DOWN");
}

// Made before the fixture, and gone after it.
struct Audit {
  AuditLines audit;
};

class AuditedStreamsTest : private Audit, public RemoteFixture {
 protected:
  AuditedStreamsTest() : RemoteFixture(&audit.log()) { CreateRemote(); }

  // "Method name result" of each line so far.
  std::vector<std::string> Audited() const {
    static const std::regex kLine(
        ".*\"method\":\"[^\"]*/([A-Za-z]*)\",\"name\":\"([^\"]*)\","
        "\"result\":\"([^\"]*)\".*");
    std::vector<std::string> lines;
    for (const std::string& line : audit.lines()) {
      lines.push_back(std::regex_replace(line, kLine, "$1 $2 $3"));
    }
    return lines;
  }
  void ExpectLast(const std::string& line) {
    const auto lines = Audited();
    ASSERT_FALSE(lines.empty());
    EXPECT_EQ(lines.back(), line);
  }
};

TEST_F(AuditedStreamsTest, WhatTakesEffect) {
  ExpectLast("Handle listeners/remote OK");
  const Served served = Attached();
  ExpectLast("Attach " + served.name + " OK");
  v1::CloseConnectionRequest request;
  request.set_name(served.name);
  grpc::ClientContext context;
  v1::Connection closed;
  EXPECT_EQ(Shown(connections().CloseConnection(&context, request, &closed)),
            "OK");
  ExpectLast("CloseConnection " + served.name + " OK");
  SocketCall dial(connections(), &SocketCall::Stub::Dial);
  v1::ClientFrame frame;
  auto& where = *frame.mutable_dial()->mutable_where_to_connect();
  where.mutable_inet()->set_host("127.0.0.1");
  where.mutable_inet()->set_port(port());
  dial.Send(frame);
  ExpectLast("Dial " + dial.ReadOpened().name() + " OK");
}

TEST_F(AuditedStreamsTest, WhatIsRefused) {
  SocketCall attach(connections(), "connections/b99");
  EXPECT_EQ(attach.Rest(), "5 / NOT_FOUND");
  ExpectLast("Attach connections/b99 NOT_FOUND");
  WorkerCall handle(handlers(), "listeners/unknown");
  EXPECT_EQ(handle.Rest(), "5 / NOT_FOUND");
  ExpectLast("Handle listeners/unknown NOT_FOUND");
  WorkerCall nothing(handlers(), v1::HandleRequest());
  EXPECT_EQ(nothing.Rest(), "3 / INVALID_FIELD / start");
  ExpectLast("Handle  INVALID_FIELD");
  SocketCall dial(connections(), &SocketCall::Stub::Dial);
  dial.Send(v1::ClientFrame());
  EXPECT_EQ(dial.Rest(), "3 / INVALID_FIELD / dial");
  ExpectLast("Dial  INVALID_FIELD");
  v1::CloseConnectionRequest request;
  request.set_name("connections/b99");
  grpc::ClientContext context;
  v1::Connection closed;
  EXPECT_EQ(Shown(connections().CloseConnection(&context, request, &closed)),
            "5 / NOT_FOUND");
  ExpectLast("CloseConnection connections/b99 NOT_FOUND");
}

}  // namespace
}  // namespace portreeve::testing
