#include "server/daemon/http_pages.h"

#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "command_line/version.h"
#include "portreeve/v1/daemon.pb.h"
#include "server/daemon/loop_health.h"
#include "server/events/event_log.h"
#include "server/page/page_files.h"

namespace portreeve::server {
namespace {

// Whoever can connect may see the page.
constexpr v1::Role kEverybody = v1::ROLE_UNSPECIFIED;

ClientRole RoleOfPeer(const HttpPeer& peer, const HttpPageSources& sources) {
  const Policy policy = sources.policy.Now();
  if (peer.is_secure) {
    return RoleOfNames(policy, sources.certificates, peer.names);
  }
  if (!peer.credentials) return {"", "", v1::ROLE_ADMIN};
  const UnixCaller caller{peer.credentials->uid, peer.credentials->gid,
                          peer.groups};
  const std::string user = absl::StrCat("unix:uid=", caller.user);
  return {user, user, policy.UnixRoleOf(caller)};
}

HttpPage ForRole(v1::Role role, HttpPageSources sources, HttpPage page) {
  if (role == kEverybody) return page;
  return [role, sources = std::move(sources), page = std::move(page)](
             const HttpRequest& request, HttpDone done) {
    const ClientRole client = RoleOfPeer(*request.peer, sources);
    if (client.role >= role) return page(request, std::move(done));
    const absl::Status refusal =
        RoleRefusal(client.who, client.role, request.path, role);
    done({403, absl::StrCat(refusal.message(), "\n")});
  };
}

HttpAnswer ReadyAnswer(Readiness readiness) {
  switch (readiness) {
    case Readiness::kStarting:
      return {503, "starting\n"};
    case Readiness::kReady:
      return {200, "ready\n"};
    case Readiness::kShuttingDown:
      return {503, "shutting down\n"};
  }
  return {500, "unknown\n"};
}

HttpAnswer MetricsAnswer(absl::StatusOr<std::string> text) {
  if (!text.ok()) {
    return {503, absl::StrCat(text.status().message(), "\n")};
  }
  // 0.0.4 is the version of Prometheus's format.
  return {200, *std::move(text), "text/plain; version=0.0.4; charset=utf-8"};
}

// Gives JSON of portreeve.v1.Daemon: what of it does not change.
std::string AboutDaemon(const HttpPageSources& sources) {
  v1::Daemon daemon;
  // By which its page knows that it is of the life that the streams are of.
  if (sources.live) daemon.set_instance_id(sources.live->log.instance_id());
  daemon.set_version(kVersion);
  daemon.set_pid(getpid());
  *daemon.mutable_start_time() = sources.start_time;
  std::string text;
  const auto written =
      google::protobuf::util::MessageToJsonString(daemon, &text);
  return written.ok() ? text : "{}";
}

// The text is written on the server's own thread.
HttpPage MetricsPage(MetricsSource& metrics, const Executor& executor) {
  return [&metrics, inner = executor.inner()](const HttpRequest& request,
                                              HttpDone done) {
    std::vector<std::string> listeners;
    for (const auto& [name, value] : request.query) {
      if (name == "listener") listeners.push_back(value);
    }
    metrics.Scrape(std::move(listeners), inner,
                   [done = std::move(done)](absl::StatusOr<std::string> text) {
                     done(MetricsAnswer(std::move(text)));
                   });
  };
}

}  // namespace

HttpPages MakeHttpPages(const HttpPageSources& sources,
                        const Executor& executor) {
  HttpPages pages;
  const auto add = [&](const char* path, v1::Role role, HttpPage page) {
    pages.emplace(path, ForRole(role, sources, std::move(page)));
  };
  auto health = std::make_shared<LoopHealth>(sources.loop, executor);
  add("/healthz", kEverybody, [health](const HttpRequest&, HttpDone done) {
    health->Ask(std::move(done));
  });
  add("/readyz", kEverybody,
      [&readiness = sources.readiness](const HttpRequest&, HttpDone done) {
        done(ReadyAnswer(readiness));
      });
  if (sources.metrics != nullptr) {
    add("/metrics", v1::ROLE_VIEWER, MetricsPage(*sources.metrics, executor));
  }
  if (sources.live) {
    for (auto& [path, page] : MakeLivePages(*sources.live, executor)) {
      add(path.c_str(), v1::ROLE_VIEWER, std::move(page));
    }
  }
  add("/api/daemon", v1::ROLE_VIEWER,
      [about = AboutDaemon(sources)](const HttpRequest&, HttpDone done) {
        done({200, about, "application/json"});
      });
  for (const PageFile& file : PageFiles()) {
    add(file.path, v1::ROLE_VIEWER, PageOf(file));
  }
  return pages;
}

}  // namespace portreeve::server
