// grpc_peer: a gRPC server that does as little as one can (echo.proto), for
// what the daemon costs beside it.  It is what gRPC's own examples show: the
// callback API, generated messages, every option as gRPC has it.
//
// Prints "ready PORT" when it serves, and ends at SIGTERM or SIGINT.
#include <grpcpp/grpcpp.h>
#include <pthread.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <csignal>
#include <iostream>
#include <memory>
#include <string>
#include <thread>

#include "bench/grpc/echo.grpc.pb.h"
#include "bench/grpc/listening_sockets.h"

namespace portreeve::bench {
namespace {

// Owns itself until gRPC is done with it.
class EchoStream final : public grpc::ServerBidiReactor<Payload, Payload> {
 public:
  EchoStream() { StartRead(&payload_); }

  void OnReadDone(bool ok) override {
    ok ? StartWrite(&payload_) : Finish(grpc::Status::OK);
  }
  void OnWriteDone(bool ok) override {
    ok ? StartRead(&payload_) : Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

 private:
  Payload payload_;
};

class EchoService final : public Echo::CallbackService {
 public:
  grpc::ServerUnaryReactor* Ask(grpc::CallbackServerContext* context,
                                const Question* question,
                                Payload* answer) override {
    answer->mutable_data()->resize(
        static_cast<size_t>(question->answer_bytes()));
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerBidiReactor<Payload, Payload>* Stream(
      grpc::CallbackServerContext*) override {
    return new EchoStream();
  }
};

class SocketsService final : public Sockets::CallbackService {
 public:
  SocketsService()
      : work_(loop_.get_executor()), thread_([this] { loop_.run(); }) {}
  ~SocketsService() override {
    work_.reset();
    thread_.join();
  }

  grpc::ServerUnaryReactor* Open(grpc::CallbackServerContext* context,
                                 const Question* question,
                                 Socket* socket) override {
    return Answer(context, question->on_loop(), [this, question, socket] {
      socket->set_number(sockets_.Open());
      socket->mutable_data()->resize(
          static_cast<size_t>(question->answer_bytes()));
      return socket->number() < 0 ? grpc::Status(grpc::StatusCode::UNAVAILABLE,
                                                 "no socket to listen on")
                                  : grpc::Status::OK;
    });
  }

  grpc::ServerUnaryReactor* Close(grpc::CallbackServerContext* context,
                                  const CloseRequest* request,
                                  Payload* answer) override {
    return Answer(context, request->on_loop(), [this, request, answer] {
      answer->mutable_data()->resize(
          static_cast<size_t>(request->answer_bytes()));
      return sockets_.Close(request->number())
                 ? grpc::Status::OK
                 : grpc::Status(grpc::StatusCode::NOT_FOUND, "no such socket");
    });
  }

 private:
  // With what `work` gives, here or on the loop.
  template <typename Work>
  grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context,
                                   bool on_loop, Work work) {
    auto* const reactor = context->DefaultReactor();
    if (on_loop) {
      boost::asio::post(loop_, [reactor, work] { reactor->Finish(work()); });
    } else {
      reactor->Finish(work());
    }
    return reactor;
  }

  using Work =
      boost::asio::executor_work_guard<boost::asio::io_context::executor_type>;

  ListeningSockets sockets_;
  boost::asio::io_context loop_{1};
  Work work_;
  std::thread thread_;
};

int Serve(const std::string& address) {
  // Before gRPC has threads, so that none of them takes the signal.
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);

  EchoService echo;
  SocketsService sockets;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&echo);
  builder.RegisterService(&sockets);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    std::cerr << "grpc_peer: cannot listen on " << address << std::endl;
    return 1;
  }
  std::cout << "ready " << port << std::endl;
  int signal = 0;
  sigwait(&ends, &signal);
  server->Shutdown(std::chrono::system_clock::now());
  return 0;
}

}  // namespace
}  // namespace portreeve::bench

int main(int argc, char** argv) {
  CLI::App app("A gRPC server that does as little as one can", "grpc_peer");
  std::string listen = "127.0.0.1:0";
  app.add_option(
         "--listen", listen,
         "Where to listen; port 0: chosen by the OS. Default: " + listen)
      ->type_name("HOST:PORT");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  return portreeve::bench::Serve(listen);
}
