#include "server/live/api_pages.h"

#include <memory>
#include <new>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/api/errors.h"
#include "server/api/names.h"
#include "server/live/live_answers.h"
#include "server/live/live_query.h"

namespace portreeve::server {
namespace {

// Asks on the loop, and answers on the server's thread, where the JSON is made.
// `ask` gives an absl::StatusOr of what has message().
template <typename Ask>
void AnswerFromLoop(const LiveLink& link, HttpDone done, Ask ask) {
  link.loop.Post(
      [http = link.http, done = std::move(done), ask = std::move(ask)] {
        using Asked = decltype(ask());
        std::shared_ptr<Asked> asked;
        try {
          asked = std::make_shared<Asked>(ask());
          http->Post([done, asked] {
            done(asked->ok() ? AnswerWith((*asked)->message())
                             : AnswerWith(asked->status()));
          });
        } catch (const std::bad_alloc&) {
          done({503, "there is no memory for it\n"});
        }
      });
}

}  // namespace

HttpPage ListenersPage(const LiveLink& link, const Registry& registry) {
  return [link, &registry](const HttpRequest& request, HttpDone done) {
    auto page = ListenerPageOf(request);
    if (!page.ok()) return done(AnswerWith(page.status()));
    AnswerFromLoop(link, std::move(done), [&registry, page = *std::move(page)] {
      return registry.List(page);
    });
  };
}

HttpPage ListenerPage(const LiveLink& link, const Registry& registry) {
  return [link, &registry](const HttpRequest& request, HttpDone done) {
    std::string id = request.path.substr(sizeof kListenerPath - 1);
    if (!IsListenerId(id)) {
      return done(AnswerWith(NotFound("what this path names")));
    }
    AnswerFromLoop(link, std::move(done), [&registry, id = std::move(id)] {
      return registry.Get(id);
    });
  };
}

HttpPage ConnectionsPage(const LiveLink& link, const Registry& registry) {
  return [link, &registry](const HttpRequest& request, HttpDone done) {
    auto page = ConnectionPageOf(request);
    if (!page.ok()) return done(AnswerWith(page.status()));
    std::string id;
    if (!page->listener().empty()) {
      id = *ParseListenerName(page->listener(), "listener");
    }
    AnswerFromLoop(link, std::move(done),
                   [&registry, id = std::move(id), page = *std::move(page)] {
                     return registry.ListConnections(id, page);
                   });
  };
}

}  // namespace portreeve::server
