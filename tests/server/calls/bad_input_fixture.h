// BadInputTest: makes wrong requests from tables.
#ifndef PORTREEVE_TESTS_SERVER_CALLS_BAD_INPUT_FIXTURE_H_
#define PORTREEVE_TESTS_SERVER_CALLS_BAD_INPUT_FIXTURE_H_

#include <google/protobuf/text_format.h>

#include <string>
#include <vector>

#include "tests/server/service_fixture.h"

namespace portreeve::testing {

inline constexpr char kInvalid[] = "3 / INVALID_FIELD / ";

// A listener "web" is open, "old" is closed.
class BadInputTest : public ServiceFixture {
 protected:
  BadInputTest() {
    EXPECT_EQ(Create(EchoSpec(), "web").name(), "listeners/web");
    Create(EchoSpec(), "old");
    Close("listeners/old", v1::EXISTING_CONNECTIONS_LEAVE,
          v1::WAIT_FOR_HANDLERS_DETERMINED);
  }

  // One request, in protobuf's text format, and what Shown() makes of its
  // answer.
  struct Case {
    std::string request;
    std::string refusal;
  };

  // Makes each request with `call`; nothing may have changed after it.
  template <typename Request, typename Response, typename Method>
  void Try(Method method, const std::vector<Case>& cases) {
    const std::string before = State();
    for (const Case& c : cases) {
      SCOPED_TRACE(c.request);
      Request request;
      ASSERT_TRUE(
          google::protobuf::TextFormat::ParseFromString(c.request, &request));
      grpc::ClientContext context;
      Response response;
      EXPECT_EQ(Shown(method(&context, request, &response)), c.refusal);
      EXPECT_EQ(State(), before);
    }
  }

  // CreateListener with these fields of an otherwise good request.
  void TryCreate(const std::vector<Case>& cases) {
    Try<v1::CreateListenerRequest, v1::Listener>(
        [this](auto... a) { return listeners().CreateListener(a...); }, cases);
  }
  void TryUpdate(const std::vector<Case>& cases) {
    Try<v1::UpdateListenerRequest, v1::Listener>(
        [this](auto... a) { return listeners().UpdateListener(a...); }, cases);
  }
  // As TryCreate() where the cases are fields of the spec, with paths from
  // there.
  void TryCreateSpec(const std::vector<Case>& cases) {
    std::vector<Case> full;
    for (const Case& c : cases) {
      full.push_back({"spec { " + c.request + " }",
                      std::string(kInvalid) + "spec." + c.refusal});
    }
    TryCreate(full);
  }
  void TryInet(const std::vector<Case>& cases) {
    std::vector<Case> full;
    for (const Case& c : cases) {
      full.push_back(
          {"where_to_listen { inet { " + c.request + " } } handler { echo {} }",
           "where_to_listen.inet." + c.refusal});
    }
    TryCreateSpec(full);
  }
  void TryUpstream(const std::vector<Case>& cases) {
    std::vector<Case> full;
    for (const Case& c : cases) {
      full.push_back(
          {"where_to_listen { inet {} } handler { forward { upstream { " +
               c.request + " } } }",
           "handler.forward.upstream" + c.refusal});
    }
    TryCreateSpec(full);
  }
  // Other fields of the spec, beside good ones.
  void TryRest(const std::vector<Case>& cases) {
    std::vector<Case> full;
    for (const Case& c : cases) {
      const bool has_handler = c.request.find("handler {") == 0;
      full.push_back({"where_to_listen { inet {} } " + c.request +
                          (has_handler ? "" : " handler { echo {} }"),
                      c.refusal});
    }
    TryCreateSpec(full);
  }

  // Names that are none, for a request whose name is in `field`.
  static std::vector<Case> BadNames(const std::string& field) {
    std::vector<Case> cases;
    for (const std::string& name :
         {std::string(), std::string("web"), std::string("listeners/"),
          std::string("listeners/Web"), std::string("listeners/1web"),
          std::string("listeners/web-"), std::string("listeners/web/x"),
          std::string("/listeners/web"), std::string("connections/"),
          std::string("listeners/w eb"), "listeners/" + std::string(64, 'a'),
          std::string(100000, 'x')}) {
      cases.push_back({field + ": \"" + name + "\"", kInvalid + field});
    }
    cases.push_back({field + ": \"listeners/web\\000\"", kInvalid + field});
    cases.push_back({field + ": \"listeners/unknown\"", "5 / NOT_FOUND"});
    return cases;
  }
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_SERVER_CALLS_BAD_INPUT_FIXTURE_H_
