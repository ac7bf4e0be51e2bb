// Every field of every request, each kind of wrong: the right refusal, and
// nothing changes.
#include <fstream>
#include <string>
#include <vector>

#include "tests/server/calls/bad_input_fixture.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::testing {
namespace {

std::string A(size_t count) { return std::string(count, 'a'); }

constexpr char kGoodSpec[] =
    "spec { where_to_listen { inet {} } "
    "handler { echo {} } } ";

TEST_F(BadInputTest, CreateListenerIds) {
  std::vector<Case> cases;
  for (const std::string& id :
       {std::string("Web"), std::string("1a"), std::string("-a"),
        std::string("a-"), std::string("a_b"), std::string("a.b"),
        std::string("listeners/a"), A(64), A(100000)}) {
    cases.push_back({kGoodSpec + ("listener_id: \"" + id + "\""),
                     std::string(kInvalid) + "listener_id"});
  }
  for (const std::string& id :
       {A(65), std::string("a\\nb"), std::string("\\303\\251"),
        std::string("\\177"), std::string("\\000")}) {
    cases.push_back({kGoodSpec + ("request_id: \"" + id + "\""),
                     std::string(kInvalid) + "request_id"});
  }
  cases.push_back(
      {kGoodSpec + std::string("listener_id: \"web\""), "6 / LISTENER_EXISTS"});
  cases.push_back(
      {kGoodSpec + std::string("listener_id: \"old\""), "6 / LISTENER_EXISTS"});
  TryCreate(cases);
}

TEST_F(BadInputTest, WhereToListen) {
  TryCreateSpec({
      {"", "where_to_listen"},
      {"handler { echo {} }", "where_to_listen"},
      {"where_to_listen {} handler { echo {} }", "where_to_listen"},
  });
  TryInet({
      {"port: -1", "port"},
      {"port: 70000", "port"},
      {"port: 65536", "port"},
      {"port: 2147483647", "port"},
      {"port: -2147483648", "port"},
      {"address: \"example.org\"", "address"},
      {"address: \"1.2.3\"", "address"},
      {"address: \"1.2.3.256\"", "address"},
      {"address: \"[::1]\"", "address"},
      {"address: \"127.0.0.1:80\"", "address"},
      {"address: \"127.0.0.1\\000\"", "address"},
      {"address: \"::ffff:127.0.0.1\"", "address"},
      {"address: \"" + A(100000) + "\"", "address"},
      {"bind_to_interface: \"" + A(16) + "\"", "bind_to_interface"},
      {"bind_to_interface: \"lo\\000\"", "bind_to_interface"},
      {"bind_to_interface: \"no-such-one\"", "bind_to_interface"},
  });
  TryCreate(
      {{"spec { where_to_listen { inet { address: \"203.0.113.7\" } } "
        "handler { echo {} } }",
        "3 / ADDRESS_NOT_AVAILABLE / spec.where_to_listen.inet.address"}});
}

TEST_F(BadInputTest, UnixSocket) {
  auto request = [](const std::string& fields) {
    return "where_to_listen { unix_socket { " + fields +
           " } } handler { echo {} }";
  };
  const std::string prefix = "where_to_listen.unix_socket.";
  TryCreateSpec({
      {request(""), prefix + "path"},
      {request("path: \"/" + A(200) + "\""), prefix + "path"},
      {request("path: \"/" + A(107) + "\""), prefix + "path"},
      {request("path: \"/tmp/a\\000b\""), prefix + "path"},
      {request("path: \"/tmp/x\" mode: -1"), prefix + "mode"},
      {request("path: \"/tmp/x\" mode: 512"), prefix + "mode"},
      {request("path: \"/tmp/x\" mode: 2147483647"), prefix + "mode"},
  });
  const TemporaryFolder folder;
  const std::string file = folder.File("regular");
  std::ofstream(file) << "precious";
  const std::string spec = request("path: \"" + file + "\"");
  // Neither a directory that is missing, nor one that is a file.
  for (const std::string& path : {folder.File("no/such"), file + "/x"}) {
    const std::string there = request("path: \"" + path + "\"");
    TryCreate(
        {{"spec { " + there + " }", "9 / NO_SUCH_PATH"},
         {"spec { " + there + " } validate_only: true", "9 / NO_SUCH_PATH"}});
  }
  TryCreate(
      {{"spec { " + spec + " }", "9 / NOT_A_SOCKET"},
       {"spec { " + spec + " } validate_only: true", "9 / NOT_A_SOCKET"}});
  std::string content;
  std::ifstream(file) >> content;
  EXPECT_EQ(content, "precious");
}

TEST_F(BadInputTest, Handlers) {
  TryRest({
      {"handler {}", "handler"},
      {"handler { forward {} }", "handler.forward.upstream"},
  });
  TryUpstream({
      {"", ""},
      {"inet {}", ".inet.host"},
      {"inet { port: 80 }", ".inet.host"},
      {"inet { host: \"example.org\" }", ".inet.port"},
      {"inet { host: \"example.org\" port: 70000 }", ".inet.port"},
      {"inet { host: \"example.org\" port: -1 }", ".inet.port"},
      {"inet { host: \"bad host\" port: 80 }", ".inet.host"},
      {"inet { host: \"a..b\" port: 80 }", ".inet.host"},
      {"inet { host: \"http://a\" port: 80 }", ".inet.host"},
      {"inet { host: \"" + A(64) + "\" port: 80 }", ".inet.host"},
      {"inet { host: \"" + A(254) + "\" port: 80 }", ".inet.host"},
      {"inet { host: \"a\\000\" port: 80 }", ".inet.host"},
      {"inet { host: \"a\" port: 80 bind_to_address: \"a\" }",
       ".inet.bind_to_address"},
      {"inet { host: \"::1\" port: 80 bind_to_address: \"127.0.0.1\" }",
       ".inet.bind_to_address"},
      {"inet { host: \"a\" port: 80 bind_to_port: -1 }", ".inet.bind_to_port"},
      {"inet { host: \"a\" port: 80 bind_to_port: 65536 }",
       ".inet.bind_to_port"},
      {"unix_socket {}", ".unix_socket.path"},
      {"unix_socket { path: \"/" + A(200) + "\" }", ".unix_socket.path"},
  });
}

TEST_F(BadInputTest, Durations) {
  std::vector<Case> cases;
  for (const std::string& duration :
       {std::string(""), std::string("seconds: -1"), std::string("nanos: -1"),
        std::string("seconds: 1 nanos: -1"),
        std::string("seconds: 1 nanos: 1000000000"),
        std::string("seconds: 315576000001"),
        std::string("seconds: 9223372036854775807"),
        std::string("seconds: -9223372036854775808")}) {
    cases.push_back({"buffer_age_limit { at_most { " + duration + " } }",
                     "buffer_age_limit.at_most"});
    cases.push_back(
        {"handler { remote { claim_timeout { " + duration + " } } }",
         "handler.remote.claim_timeout"});
    cases.push_back(
        {"handler { forward { upstream { unix_socket { path: \"/x\" } } "
         "connect_timeout { " +
             duration + " } } }",
         "handler.forward.connect_timeout"});
  }
  TryRest(cases);
}

TEST_F(BadInputTest, RestOfTheSpec) {
  std::string many;
  for (int i = 0; i < 65; ++i) {
    many += "labels { key: \"" + std::to_string(i) + "\" value: \"\" } ";
  }
  std::string much;
  for (int i = 0; i < 20; ++i) {
    much += "labels { key: \"" + std::to_string(i) + "\" value: \"" + A(256) +
            "\" } ";
  }
  TryRest({
      {"max_connections: 0", "max_connections"},
      {"max_connections: -1", "max_connections"},
      {"max_connections: -2147483648", "max_connections"},
      {"max_pending_connections: -1", "max_pending_connections"},
      {"max_accepts_per_batch: 0", "max_accepts_per_batch"},
      {"max_accepts_per_batch: -1", "max_accepts_per_batch"},
      {"on_handler_error: ON_HANDLER_ERROR_CALL", "on_handler_error"},
      {"labels { key: \"\" value: \"a\" }", "labels"},
      {"labels { key: \"portreeve.file\" value: \"a\" }", "labels"},
      {"labels { key: \"" + A(129) + "\" value: \"a\" }", "labels"},
      {"labels { key: \"a\" value: \"" + A(257) + "\" }", "labels"},
      {many, "labels"},
      {much, "labels"},
  });
}

// The text format has no unknown enum values: these are set by hand.
TEST_F(BadInputTest, UnknownEnumValues) {
  const std::string before = State();
  auto shown = [](auto call) {
    grpc::ClientContext context;
    return Shown(call(&context));
  };
  v1::CreateListenerRequest create;
  *create.mutable_spec() = EchoSpec();
  create.mutable_spec()->set_on_handler_error(v1::OnHandlerError(99));
  v1::CloseListenerRequest close;
  close.set_name("listeners/web");
  close.set_existing_connections(v1::ExistingConnections(99));
  v1::CloseListenerRequest wait = close;
  wait.clear_existing_connections();
  wait.set_wait_for(v1::WaitFor(-1));
  v1::CloseFinishedRequest finished;
  finished.set_name("listeners/web");
  finished.set_wait_for(v1::WaitFor(99));
  v1::CloseConnectionRequest connection;
  connection.set_name("connections/a1");
  connection.set_mode(v1::CloseMode(99));
  v1::Listener listener;
  v1::CloseFinishedResponse close_finished;
  v1::Connection closed;
  EXPECT_EQ(shown([&](auto* c) {
              return listeners().CreateListener(c, create, &listener);
            }),
            std::string(kInvalid) + "spec.on_handler_error");
  EXPECT_EQ(shown([&](auto* c) {
              return listeners().CloseListener(c, close, &listener);
            }),
            std::string(kInvalid) + "existing_connections");
  EXPECT_EQ(shown([&](auto* c) {
              return listeners().CloseListener(c, wait, &listener);
            }),
            std::string(kInvalid) + "wait_for");
  EXPECT_EQ(shown([&](auto* c) {
              return listeners().CloseFinished(c, finished, &close_finished);
            }),
            std::string(kInvalid) + "wait_for");
  EXPECT_EQ(shown([&](auto* c) {
              return connections().CloseConnection(c, connection, &closed);
            }),
            std::string(kInvalid) + "mode");
  EXPECT_EQ(State(), before);
}

TEST_F(BadInputTest, NamesOfListeners) {
  Try<v1::GetListenerRequest, v1::Listener>(
      [this](auto... a) { return listeners().GetListener(a...); },
      BadNames("name"));
  Try<v1::IsClosedRequest, v1::IsClosedResponse>(
      [this](auto... a) { return listeners().IsClosed(a...); },
      BadNames("name"));
  Try<v1::CloseListenerRequest, v1::Listener>(
      [this](auto... a) { return listeners().CloseListener(a...); },
      BadNames("name"));
  Try<v1::CloseFinishedRequest, v1::CloseFinishedResponse>(
      [this](auto... a) { return listeners().CloseFinished(a...); },
      BadNames("name"));
  Try<v1::DeleteListenerRequest, google::protobuf::Empty>(
      [this](auto... a) { return listeners().DeleteListener(a...); },
      BadNames("name"));
  auto cases = BadNames("listener");
  cases.erase(cases.begin());  // Empty: all.
  Try<v1::ListConnectionsRequest, v1::ListConnectionsResponse>(
      [this](auto... a) { return connections().ListConnections(a...); }, cases);
}

TEST_F(BadInputTest, NamesOfConnections) {
  std::vector<Case> cases;
  for (const std::string& name :
       {std::string(), std::string("a1"), std::string("connections/"),
        std::string("connections/A1"), std::string("connections/a/1"),
        std::string("listeners/web"), "connections/" + A(64)}) {
    cases.push_back({"name: \"" + name + "\"", kInvalid + std::string("name")});
  }
  for (const char* name :
       {"a1", "a0", "b01", "unknown", "1", "z9", "s9223372036854775808"}) {
    cases.push_back(
        {"name: \"connections/" + std::string(name) + "\"", "5 / NOT_FOUND"});
  }
  Try<v1::GetConnectionRequest, v1::Connection>(
      [this](auto... a) { return connections().GetConnection(a...); }, cases);
  Try<v1::CloseConnectionRequest, v1::Connection>(
      [this](auto... a) { return connections().CloseConnection(a...); }, cases);
}

TEST_F(BadInputTest, Pages) {
  Create(EchoSpec(), "more");
  v1::ListListenersRequest request;
  request.set_page_size(1);
  grpc::ClientContext context;
  v1::ListListenersResponse page;
  ASSERT_TRUE(listeners().ListListeners(&context, request, &page).ok());
  const std::string& token = page.next_page_token();
  ASSERT_NE(token, "");
  const std::vector<Case> cases = {
      {"page_size: -1", kInvalid + std::string("page_size")},
      {"page_size: -2147483648", kInvalid + std::string("page_size")},
      {"page_token: \"x\"", kInvalid + std::string("page_token")},
      {"page_token: \"listeners/web\"", kInvalid + std::string("page_token")},
      {"page_token: \"\\000\"", kInvalid + std::string("page_token")},
      {"page_token: \"" + A(100000) + "\"",
       kInvalid + std::string("page_token")},
  };
  Try<v1::ListListenersRequest, v1::ListListenersResponse>(
      [this](auto... a) { return listeners().ListListeners(a...); }, cases);
  auto of_connections = cases;
  of_connections.push_back(
      {"page_token: \"" + token + "\"", kInvalid + std::string("page_token")});
  Try<v1::ListConnectionsRequest, v1::ListConnectionsResponse>(
      [this](auto... a) { return connections().ListConnections(a...); },
      of_connections);
}

// An update of "web": this path beside a good one, and these fields.
std::string Update(const std::string& path, const std::string& spec) {
  return "listener { name: \"listeners/web\" spec { " + spec +
         " } } update_mask { paths: \"spec.labels\" paths: \"" + path + "\" }";
}

TEST_F(BadInputTest, UpdateMasks) {
  std::vector<Case> cases;
  for (const char* mask : {"", "update_mask {}"}) {
    cases.push_back(
        {"listener { name: \"listeners/web\" } " + std::string(mask),
         kInvalid + std::string("update_mask")});
  }
  for (const char* path :
       {"", "*", "spec", "spec.", "name", "uid", "status", "status.state",
        "max_connections", "spec.unknown", "spec..max_connections",
        "spec.max_connections.", "spec.max_connections.x", "spec.labels.a",
        "spec.maxConnections", "listener.spec.labels"}) {
    cases.push_back({Update(path, ""), kInvalid + std::string("update_mask")});
  }
  for (const char* path :
       {"spec.where_to_listen", "spec.where_to_listen.inet.port"}) {
    cases.push_back({Update(path, ""), "9 / IMMUTABLE_FIELD"});
  }
  TryUpdate(cases);
}

TEST_F(BadInputTest, UpdatedValues) {
  const std::vector<std::vector<std::string>> values = {
      {"max_connections", "max_connections: 0", "max_connections"},
      {"max_pending_connections", "max_pending_connections: -1",
       "max_pending_connections"},
      {"max_accepts_per_batch", "max_accepts_per_batch: 0",
       "max_accepts_per_batch"},
      {"handler", "", "handler"},
      {"handler", "handler { forward {} }", "handler.forward.upstream"},
      {"handler.forward.connect_timeout", "", "handler.forward.upstream"},
      {"buffer_age_limit", "buffer_age_limit { at_most {} }",
       "buffer_age_limit.at_most"},
      {"on_handler_error", "on_handler_error: ON_HANDLER_ERROR_CALL",
       "on_handler_error"},
      {"labels", "labels { key: \"\" value: \"\" }", "labels"},
  };
  std::vector<Case> cases;
  for (const auto& value : values) {
    cases.push_back({Update("spec." + value[0], value[1]),
                     kInvalid + std::string("listener.spec.") + value[2]});
  }
  TryUpdate(cases);
}

TEST_F(BadInputTest, UpdatedListeners) {
  std::vector<Case> cases = {
      {"listener { name: \"listeners/old\" } update_mask { paths: "
       "\"spec.labels\" }",
       "9 / LISTENER_CLOSED"}};
  for (const Case& c : BadNames("name")) {
    const std::string refusal = c.refusal == "5 / NOT_FOUND"
                                    ? c.refusal
                                    : kInvalid + std::string("listener.name");
    cases.push_back({"listener { " + c.request +
                         " } update_mask { paths: \"spec.labels\" }",
                     refusal});
  }
  TryUpdate(cases);
}

}  // namespace
}  // namespace portreeve::testing
