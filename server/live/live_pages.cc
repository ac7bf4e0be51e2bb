#include "server/live/live_pages.h"

#include <memory>
#include <utility>

#include "server/live/api_pages.h"
#include "server/live/event_feed.h"
#include "server/live/live_answers.h"
#include "server/live/live_link.h"
#include "server/live/live_query.h"
#include "server/live/stats_feed.h"

namespace portreeve::server {
namespace {

// Cuts the way to the server when the pages go.
class LinkOfPages {
 public:
  explicit LinkOfPages(std::shared_ptr<LoopLink> link)
      : link_(std::move(link)) {}
  LinkOfPages(const LinkOfPages&) = delete;
  LinkOfPages& operator=(const LinkOfPages&) = delete;
  ~LinkOfPages() { link_->Cut(); }

 private:
  const std::shared_ptr<LoopLink> link_;
};

HttpPage StatsPage(const LiveLink& link, StatsBoard& board) {
  return [link, looks = std::make_shared<StatsLooks>(board)](
             const HttpRequest& request, const HttpDone& done) {
    auto names = ListenersOf(request);
    if (!names.ok()) return done(AnswerWith(names.status()));
    done(AnswerWith(
        std::make_shared<StatsFeed>(link, looks, *std::move(names))));
  };
}

HttpPage EventsPage(EventFeed::Shared shared) {
  return [shared = std::move(shared)](const HttpRequest& request,
                                      const HttpDone& done) {
    auto query = EventQueryOf(request);
    if (!query.ok()) return done(AnswerWith(query.status()));
    done(AnswerWith(std::make_shared<EventFeed>(shared, *std::move(query))));
  };
}

}  // namespace

HttpPages MakeLivePages(const LiveSources& sources, const Executor& executor) {
  const LiveLink link{sources.loop,
                      std::make_shared<LoopLink>(LoopOf(executor))};
  const auto last = std::make_shared<LinkOfPages>(link.http);
  HttpPages pages;
  const auto add = [&](const char* path, HttpPage page) {
    pages.emplace(path, [last, page = std::move(page)](
                            const HttpRequest& request, HttpDone done) {
      page(request, std::move(done));
    });
  };
  add("/stats", StatsPage(link, sources.stats));
  add("/events", EventsPage({link, sources.log, sources.registry,
                             sources.events, std::make_shared<EventTexts>()}));
  add(kListenersPath, ListenersPage(link, sources.registry));
  add(kListenerPath, ListenerPage(link, sources.registry));
  add(kConnectionsPath, ConnectionsPage(link, sources.registry));
  return pages;
}

}  // namespace portreeve::server
