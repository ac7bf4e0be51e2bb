#include "server/daemon/flags.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "server/daemon/control_address.h"
#include "server/daemon/listen_flag.h"

namespace portreeve::server {
namespace {

absl::StatusOr<std::variant<Flags, Information>> Parse(
    std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "portreeved");
  return ParseFlags(static_cast<int>(arguments.size()), arguments.data(),
                    "/srv/dir");
}

Flags Good(const std::vector<const char*>& arguments) {
  auto parsed = Parse(arguments);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return std::get<Flags>(*parsed);
}

// The error, which is one line.
std::string Bad(const std::vector<const char*>& arguments) {
  const auto parsed = Parse(arguments);
  if (parsed.ok()) return "";
  const std::string message(parsed.status().message());
  EXPECT_EQ(message.find('\n'), message.npos) << message;
  return message;
}

std::vector<std::string> Controls(const Flags& flags) {
  std::vector<std::string> texts;
  for (const auto& control : flags.control) {
    texts.push_back(ToString(control.address));
  }
  return texts;
}
using Texts = std::vector<std::string>;

TEST(FlagsTest, Defaults) {
  const Flags flags = Good({});
  EXPECT_EQ(Controls(flags), Texts{"tcp:127.0.0.1:50051"});
  EXPECT_TRUE(flags.listen.empty());
  EXPECT_EQ(flags.drain, std::chrono::seconds(10));
  EXPECT_EQ(flags.tls, std::nullopt);
  EXPECT_EQ(flags.policy, "");
  EXPECT_EQ(flags.audit, "");
  EXPECT_EQ(flags.access_log, "");
  EXPECT_EQ(flags.listeners, "");
}

TEST(FlagsTest, ControlMayBeRepeated) {
  const Flags flags =
      Good({"--control", "tcp:localhost:0", "--control", "tcp:[::1]:1",
            "--control", "unix:/run/p", "--control=unix:p", "--control",
            "unix:@p", "--control=127.0.0.1:2"});
  EXPECT_EQ(Controls(flags),
            (Texts{"tcp:127.0.0.1:0", "tcp:[::1]:1", "unix:/run/p",
                   "unix:/srv/dir/p", "unix:@p", "tcp:127.0.0.1:2"}));
}

TEST(FlagsTest, TheFileOfAControlSocketHasAModeAndAGroup) {
  struct Case {
    const char* query;
    int mode;
    const char* group;
  };
  for (const Case& c : {
           Case{"", 0600, ""},
           Case{"?mode=0660", 0660, ""},
           Case{"?mode=660", 0660, ""},
           Case{"?mode=0000", 0, ""},
           Case{"?mode=0777", 0777, ""},
           Case{"?group=portreeve", 0600, "portreeve"},
           Case{"?group=0", 0600, "0"},
           Case{"?group=4294967294", 0600, "4294967294"},
           Case{"?mode=0660&group=a-b_c.d", 0660, "a-b_c.d"},
           Case{"?group=g&mode=0620", 0620, "g"},
           Case{"?group=a=b", 0600, "a=b"},
       }) {
    const std::string text = std::string("unix:/run/p") + c.query;
    const Flags flags = Good({"--control", text.c_str()});
    EXPECT_EQ(Controls(flags), Texts{"unix:/run/p"}) << text;
    EXPECT_EQ(flags.control[0].mode, c.mode) << text;
    EXPECT_EQ(flags.control[0].group, c.group) << text;
  }
  EXPECT_EQ(Controls(Good({"--control", "unix:p?mode=0660"})),
            Texts{"unix:/srv/dir/p"});
}

TEST(FlagsTest, RefusesWhatIsNoModeOrGroup) {
  const auto error_of = [](const std::string& text) {
    const std::string error = Bad({"--control", text.c_str()});
    const std::string begin = "--control \"" + text + "\": ";
    EXPECT_EQ(error.substr(0, begin.size()), begin);
    return error.substr(std::min(begin.size(), error.size()));
  };
  for (const std::string mode :
       {"", "0", "66", "0x1b0", "0888", "1777", "4755", "00660", "06600",
        "-660", "+660", " 660", "0660 ", "rw", "u=rw",
        "99999999999999999999"}) {
    EXPECT_EQ(error_of("unix:/p?mode=" + mode),
              "mode: \"" + mode + "\" is not octal, 0000 to 0777, like 0660");
  }
  EXPECT_EQ(error_of("unix:/p?mode"),
            "mode: \"\" is not octal, 0000 to 0777, like 0660");
  for (const char* group : {"group=", "group", "mode=0600&group="}) {
    EXPECT_EQ(error_of(std::string("unix:/p?") + group),
              "group: expected the name of a group, or its number");
  }
  for (const std::string group : {"4294967295", "99999999999999999999"}) {
    EXPECT_EQ(error_of("unix:/p?group=" + group),
              "group: " + group + " is not a number from 0 to 4294967294");
  }
  for (const auto& [query, key] : {std::pair<std::string, std::string>{"", ""},
                                   {"user=root", "user"},
                                   {"Mode=0600", "Mode"},
                                   {"mode=0600&", ""},
                                   {"&mode=0600", ""},
                                   {"mode=0600&owner=a", "owner"},
                                   {"mode=0600?group=a", ""},
                                   {"=0600", ""}}) {
    const std::string error = error_of("unix:/p?" + query);
    if (query == "mode=0600?group=a") {
      EXPECT_EQ(error.rfind("mode: ", 0), 0u) << error;
      continue;
    }
    EXPECT_EQ(error, "\"" + key +
                         "\" is no key: there are mode and group, as in "
                         "unix:PATH?mode=0660&group=NAME");
  }
  EXPECT_EQ(error_of("unix:/p?mode=0600&mode=0600"), "mode: is there twice");
  EXPECT_EQ(error_of("unix:/p?group=a&mode=0600&group=a"),
            "group: is there twice");
  for (const char* address :
       {"tcp:127.0.0.1:1?mode=0600", "127.0.0.1:1?group=a", "tcp:*:1?",
        "unix:@p?mode=0600", "unix:@p?"}) {
    EXPECT_EQ(error_of(address),
              "what follows the ? is for the file of a unix socket, and there "
              "is none here");
  }
  EXPECT_NE(error_of("unix:?mode=0600").find("is no address"),
            std::string::npos);
}

TEST(FlagsTest, AnAddressThatOthersReachNeedsInsecure) {
  for (const char* address :
       {"tcp:0.0.0.0:1", "tcp:*:1", "tcp::1", "tcp:[::]:1", "tcp:10.0.0.1:1",
        "tcp:[::ffff:10.0.0.1]:1"}) {
    EXPECT_NE(Bad({"--control", address}).find("--insecure"), std::string::npos)
        << address;
    Good({"--control", address, "--insecure"});
  }
  Good({"--control", "tcp:127.8.9.1:1"});
  Good({"--control", "tcp:[::ffff:127.0.0.1]:1"});
}

TEST(FlagsTest, FilesCountFromTheDirectory) {
  const Flags flags =
      Good({"--tls-cert", "c", "--tls-key=/k", "--tls-client-ca", "../a",
            "--policy", "p", "--audit", "/a"});
  EXPECT_EQ(flags.tls, (TlsFiles{"/srv/dir/c", "/k", "/srv/dir/../a"}));
  EXPECT_EQ(flags.policy, "/srv/dir/p");
  EXPECT_EQ(flags.audit, "/a");
}

TEST(FlagsTest, TheAccessLogIsAFileOrStderr) {
  EXPECT_EQ(Good({"--access-log", "a.log"}).access_log, "/srv/dir/a.log");
  EXPECT_EQ(Good({"--access-log", "/a.log"}).access_log, "/a.log");
  EXPECT_EQ(Good({"--access-log", "./-"}).access_log, "/srv/dir/./-");
  EXPECT_EQ(Good({"--access-log", "-"}).access_log, kAccessLogToStderr);
  EXPECT_EQ(Good({"--access-log=-"}).access_log, kAccessLogToStderr);
  EXPECT_EQ(Bad({"--access-log", ""}),
            "--access-log \"\": expected a file, or - for stderr");
  EXPECT_EQ(Bad({"--access-log", "a", "--audit", "/srv/dir/a"}),
            "--audit and --access-log: both are /srv/dir/a; each needs a file "
            "of its own");
}

TEST(FlagsTest, TlsProtectsAnAddressThatOthersReach) {
  const Flags flags =
      Good({"--control", "tcp:*:1", "--control", "unix:/c", "--tls-cert=c",
            "--tls-key=k", "--tls-client-ca=a"});
  EXPECT_EQ(Controls(flags), (Texts{"tcp:0.0.0.0:1", "unix:/c"}));
  EXPECT_TRUE(flags.tls.has_value());
}

TEST(FlagsTest, RefusesTlsThatIsNotWhole) {
  const char* certificate = "--tls-cert=c";
  const char* key = "--tls-key=k";
  const char* client_ca = "--tls-client-ca=a";
  const std::string all_or_none =
      "--tls-cert, --tls-key and --tls-client-ca: all three are needed, or "
      "none";
  const struct {
    std::vector<const char*> arguments;
    std::string error;
  } cases[] = {
      {{certificate}, all_or_none},
      {{key}, all_or_none},
      {{client_ca}, all_or_none},
      {{certificate, key}, all_or_none},
      {{certificate, client_ca}, all_or_none},
      {{key, client_ca}, all_or_none},
      {{key, client_ca, "--control=tcp:*:1"}, all_or_none},
      {{certificate, key, client_ca, "--insecure"},
       "--insecure: contradicts --tls-cert; give one of them"},
      {{certificate, key, client_ca, certificate}, "--tls-cert"},
      {{"--tls-cert", "", key, client_ca}, "--tls-cert \"\": expected a file"},
      {{certificate, "--tls-key", "", client_ca},
       "--tls-key \"\": expected a file"},
      {{certificate, key, "--tls-client-ca", ""},
       "--tls-client-ca \"\": expected a file"},
      {{certificate, key, "--tls-client-ca"}, "--tls-client-ca"},
      {{"--policy", ""}, "--policy \"\": expected a file"},
      {{"--policy"}, "--policy"},
      {{"--policy=a", "--policy=b"}, "--policy"},
      {{"--audit", ""}, "--audit \"\": expected a file"},
      {{"--audit"}, "--audit"},
  };
  for (const auto& [arguments, error] : cases) {
    EXPECT_EQ(Bad(arguments).rfind(error, 0), 0u)
        << Bad(arguments) << ", not " << error;
  }
}

TEST(FlagsTest, RefusesWhatIsNoAddress) {
  const std::string long_path = "unix:/" + std::string(107, 'x');
  for (const char* address :
       {"", "127.0.0.1", "tcp:", "tcp:1", "tcp:localhost:", "tcp:localhost:x",
        "tcp:localhost:65536", "tcp:localhost:-1", "tcp:localhost:+1",
        "tcp:example.org:1", "tcp:::1:1", "tcp:[::1:1", "unix:", "unix:@",
        long_path.c_str()}) {
    EXPECT_EQ(Bad({"--control", address}).rfind("--control \"", 0), 0u)
        << address;
  }
}

TEST(FlagsTest, HttpIsThereOnlyWhereItIsAskedFor) {
  EXPECT_TRUE(Good({}).http.empty());
  const Flags flags =
      Good({"--http", "tcp:127.0.0.1:0", "--http", "unix:p?mode=0660&group=1",
            "--http-host", "metrics.example.org", "--http-host=other"});
  ASSERT_EQ(flags.http.size(), 2u);
  EXPECT_EQ(ToString(flags.http[0].address), "tcp:127.0.0.1:0");
  EXPECT_EQ(ToString(flags.http[1].address), "unix:/srv/dir/p");
  EXPECT_EQ(flags.http[0].mode, 0600);
  EXPECT_EQ(flags.http[1].mode, 0660);
  EXPECT_EQ(flags.http[1].group, "1");
  EXPECT_EQ(flags.http_hosts, (Texts{"metrics.example.org", "other"}));
  // The control plane is where it was.
  EXPECT_EQ(Controls(flags), Texts{"tcp:127.0.0.1:50051"});
}

TEST(FlagsTest, HttpIsProtectedAsControlIs) {
  const std::string error = Bad({"--http", "tcp:*:80"});
  EXPECT_EQ(error.rfind("--http \"tcp:*:80\": other machines reach this", 0),
            0u)
      << error;
  EXPECT_EQ(Good({"--http", "tcp:*:80", "--insecure"}).http.size(), 1u);
  EXPECT_EQ(Good({"--http", "tcp:*:80", "--tls-cert", "c", "--tls-key", "k",
                  "--tls-client-ca", "a"})
                .http.size(),
            1u);
}

TEST(FlagsTest, RefusesWhatIsNoHttp) {
  EXPECT_NE(Bad({"--http", "unix:@p"}).find("an abstract socket"),
            std::string::npos);
  EXPECT_NE(Bad({"--http", "example.org:80"}), "");
  for (const char* name : {"", "a:80", "a/b", "*", "a b"}) {
    EXPECT_EQ(Bad({"--http", "tcp:127.0.0.1:0", "--http-host", name})
                  .rfind("--http-host \"" + std::string(name) + "\": ", 0),
              0u)
        << name;
  }
  EXPECT_NE(Bad({"--http-host", "a"}).find("without --http"),
            std::string::npos);
}

TEST(FlagsTest, ListenTakesEveryHandlerOfTheDaemon) {
  const Flags flags =
      Good({"--listen", "tcp:127.0.0.1:7007 echo", "--listen",
            "tcp:*:8080  forward   tcp:example.org:80", "--listen",
            "unix:d discard", "--listen", "tcp:[::]:0 forward unix:up"});
  ASSERT_EQ(flags.listen.size(), 4u);
  const auto& echo = flags.listen[0].request.spec();
  EXPECT_EQ(flags.listen[0].text, "tcp:127.0.0.1:7007 echo");
  EXPECT_EQ(echo.where_to_listen().inet().address(), "127.0.0.1");
  EXPECT_EQ(echo.where_to_listen().inet().port(), 7007);
  EXPECT_TRUE(echo.handler().has_echo());
  const auto& forward = flags.listen[1].request.spec();
  EXPECT_EQ(forward.where_to_listen().inet().address(), "*");
  EXPECT_EQ(forward.handler().forward().upstream().inet().host(),
            "example.org");
  EXPECT_EQ(forward.handler().forward().upstream().inet().port(), 80);
  const auto& discard = flags.listen[2].request.spec();
  EXPECT_EQ(discard.where_to_listen().unix_socket().path(), "/srv/dir/d");
  EXPECT_TRUE(discard.handler().has_discard());
  const auto& to_unix = flags.listen[3].request.spec().handler().forward();
  EXPECT_EQ(to_unix.upstream().unix_socket().path(), "/srv/dir/up");
}

TEST(FlagsTest, RefusesWhatIsNoListener) {
  for (const char* text :
       {"", " ", "echo", "tcp:127.0.0.1:1", "tcp:127.0.0.1:1 remote",
        "tcp:127.0.0.1:1 echo more", "tcp:127.0.0.1:1 forward",
        "tcp:127.0.0.1:1 forward x", "tcp:127.0.0.1:1 forward tcp:a:1 b"}) {
    EXPECT_EQ(Bad({"--listen", text}).rfind("--listen \"", 0), 0u) << text;
  }
}

TEST(FlagsTest, DrainIsADuration) {
  EXPECT_EQ(Good({"--drain", "1m30s"}).drain, std::chrono::seconds(90));
  EXPECT_EQ(Good({"--drain", "0"}).drain, Duration::zero());
  EXPECT_EQ(Good({"--drain=500ms"}).drain, std::chrono::milliseconds(500));
  EXPECT_EQ(Good({}).drain, std::chrono::seconds(10));
  EXPECT_TRUE(Good({}).closes_rested);
  // What is asked for holds for every connection.
  EXPECT_FALSE(Good({"--drain=10s"}).closes_rested);
  for (const char* text : {"", "10", "-1s", "inf", "soon", "9000000h"}) {
    const std::string flag = std::string("--drain=") + text;
    EXPECT_NE(Bad({flag.c_str()}).find("--drain"), std::string::npos) << text;
  }
}

TEST(FlagsTest, LoopsIsANumber) {
  EXPECT_EQ(Good({"--loops", "1"}).loops, 1);
  EXPECT_EQ(Good({"--loops=256"}).loops, 256);
  for (const char* text : {"", "0", "-1", "257", "2.5", "many"}) {
    const std::string flag = std::string("--loops=") + text;
    EXPECT_NE(Bad({flag.c_str()}).find("--loops"), std::string::npos) << text;
  }
}

// As many as the CPUs that it may use, which `taskset` bounds.
TEST(FlagsTest, LoopsAreTheUsableCpusByDefault) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  EXPECT_EQ(Good({}).loops, CPU_COUNT(&before));
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(Good({}).loops, 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
}

TEST(FlagsTest, ControlConnectionsAreOneToAHundredThousand) {
  EXPECT_EQ(Good({}).max_control_connections, 1000);
  const char* const flag = "--max-control-connections";
  EXPECT_EQ(Good({flag, "1"}).max_control_connections, 1);
  EXPECT_EQ(Good({flag, "100000"}).max_control_connections, 100'000);
  for (const char* value : {"0", "-1", "100001", "99999999999999999999", "many",
                            "1.5", "", "10MiB"}) {
    EXPECT_EQ(Bad({flag, value}), "--max-control-connections \"" +
                                      std::string(value) +
                                      "\": expected a number from 1 to 100000");
  }
}

TEST(FlagsTest, ControlMemoryIsASize) {
  EXPECT_EQ(Good({}).max_control_memory, 192 << 20);
  const char* const flag = "--max-control-memory";
  EXPECT_EQ(Good({flag, "1048576"}).max_control_memory, 1 << 20);
  EXPECT_EQ(Good({flag, "1024KiB"}).max_control_memory, 1 << 20);
  EXPECT_EQ(Good({flag, "1MiB"}).max_control_memory, 1 << 20);
  EXPECT_EQ(Good({flag, "3GiB"}).max_control_memory, int64_t{3} << 30);
  EXPECT_EQ(Good({flag, "1024GiB"}).max_control_memory, int64_t{1} << 40);
  EXPECT_EQ(Good({flag, "1099511627776"}).max_control_memory, int64_t{1} << 40);
  for (const char* value :
       {"0", "-1MiB", "1048575", "1023KiB", "1025GiB", "1099511627777",
        "99999999999GiB", "9223372036854775807", "9223372036854775808", "1MB",
        "1mib", "MiB", "", "1.5GiB", "1MiBKiB", "1GiBMiB", "all"}) {
    EXPECT_EQ(Bad({flag, value}),
              "--max-control-memory \"" + std::string(value) +
                  "\": expected a size from 1MiB to 1024GiB, like 192MiB");
  }
}

constexpr char kHttp[] = "--http=tcp:127.0.0.1:9464";

TEST(FlagsTest, MetricsShowTheLabelsThatAreNamed) {
  EXPECT_TRUE(Good({}).metrics_labels.empty());
  const Flags flags =
      Good({kHttp, "--metrics-label", "team", "--metrics-label", "[a,b]"});
  ASSERT_EQ(flags.metrics_labels.size(), 2u);
  EXPECT_EQ(flags.metrics_labels[0].key, "team");
  EXPECT_EQ(flags.metrics_labels[1].key, "[a,b]");
  EXPECT_EQ(flags.metrics_labels[1].name, "label__a_b_");
  EXPECT_EQ(Bad({kHttp, "--metrics-label", ""}),
            "--metrics-label \"\": expected the key of a label, 1-128 bytes");
  EXPECT_EQ(Bad({kHttp, "--metrics-label", "a.b", "--metrics-label", "a-b"}),
            "--metrics-label \"a-b\": Prometheus would see it as label_a_b, as "
            "\"a.b\"");
}

TEST(FlagsTest, MetricsShowSoManyListenersByThemselves) {
  EXPECT_EQ(Good({}).metrics_listeners, 5000);
  const char* const flag = "--metrics-listeners";
  EXPECT_EQ(Good({kHttp, flag, "0"}).metrics_listeners, 0);
  EXPECT_EQ(Good({kHttp, flag, "1000000"}).metrics_listeners, 1'000'000);
  for (const char* value : {"-1", "1000001", "many", "1.5", ""}) {
    EXPECT_EQ(Bad({kHttp, flag, value}),
              "--metrics-listeners \"" + std::string(value) +
                  "\": expected a number from 0 to 1000000");
  }
}

// WatchStats tells of them where there is no --http.
TEST(FlagsTest, HistogramsAreOfTheDaemonUnlessItIsSaid) {
  const char* const flag = "--metrics-histograms";
  EXPECT_EQ(Good({}).metrics_histograms, HistogramScope::kDaemon);
  EXPECT_EQ(Good({flag, "daemon"}).metrics_histograms, HistogramScope::kDaemon);
  EXPECT_EQ(Good({flag, "off"}).metrics_histograms, HistogramScope::kOff);
  EXPECT_EQ(Good({kHttp, flag, "listener"}).metrics_histograms,
            HistogramScope::kListener);
  for (const char* value : {"", "Off", "listeners", "1"}) {
    EXPECT_EQ(Bad({flag, value}), "--metrics-histograms \"" +
                                      std::string(value) +
                                      "\": expected off, daemon or listener");
  }
}

TEST(FlagsTest, WithoutHttpThereAreNoMetrics) {
  EXPECT_EQ(Bad({"--metrics-label", "team"}),
            "--metrics-label: there is no /metrics without --http, and no line "
            "without --access-log");
  EXPECT_EQ(Good({"--access-log", "-", "--metrics-label", "team"})
                .metrics_labels.size(),
            1u);
  EXPECT_EQ(Bad({"--metrics-listeners", "7"}),
            "--metrics-listeners: there is no /metrics without --http");
}

TEST(FlagsTest, TheLogHasAFormatAndALevel) {
  EXPECT_EQ(Good({}).log_format, LogFormat::kText);
  EXPECT_EQ(Good({"--log-format", "text"}).log_format, LogFormat::kText);
  EXPECT_EQ(Good({"--log-format=json"}).log_format, LogFormat::kJson);
  EXPECT_EQ(Bad({"--log-format", "JSON"}),
            "--log-format \"JSON\": expected text or json");
  EXPECT_EQ(Good({}).log_level, LogLevel::kInfo);
  EXPECT_EQ(Good({"--log-level", "debug"}).log_level, LogLevel::kDebug);
  EXPECT_EQ(Good({"--log-level", "info"}).log_level, LogLevel::kInfo);
  EXPECT_EQ(Good({"--log-level", "warning"}).log_level, LogLevel::kWarning);
  EXPECT_EQ(Good({"--log-level", "error"}).log_level, LogLevel::kError);
  EXPECT_EQ(Bad({"--log-level", ""}),
            "--log-level \"\": expected debug, info, warning or error");
}

TEST(FlagsTest, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(Bad({"--frobnicate"}),
            "there is no flag --frobnicate (see --help)");
  EXPECT_EQ(Bad({"--lisen", "tcp::1 echo"}),
            "there is no flag --lisen; did you mean --listen? (see --help)");
  EXPECT_EQ(Bad({"--polcy=x"}),
            "there is no flag --polcy; did you mean --policy? (see --help)");
  EXPECT_EQ(Bad({"word"}), "'word' was not expected (see --help)");
  EXPECT_EQ(Bad({"two", "words"}),
            "'two' 'words' were not expected (see --help)");
  EXPECT_NE(Bad({"--control"}), "");
}

TEST(FlagsTest, HelpAndVersionAreInformation) {
  const auto help = Parse({"--help"});
  ASSERT_TRUE(help.ok());
  const std::string& text = std::get<Information>(*help).text;
  for (const char* flag :
       {"--control", "--listen", "--drain", "--insecure", "--tls-cert",
        "--tls-key", "--tls-client-ca", "--policy", "--audit", "--access-log",
        "--log-format", "--log-level", "--max-control-connections",
        "--max-control-memory"}) {
    EXPECT_NE(text.find(flag), text.npos) << flag;
  }
  const auto version = Parse({"--version"});
  ASSERT_TRUE(version.ok());
  EXPECT_EQ(std::get<Information>(*version).text.rfind("portreeved ", 0), 0u);
}

}  // namespace
}  // namespace portreeve::server
