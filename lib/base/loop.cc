#include "lib/base/loop.h"

#include <pthread.h>

#include <boost/asio/co_spawn.hpp>

#include "lib/base/monitor.h"

namespace portreeve {

Loop::Loop(const std::string& name)
    : work_guard_(context_.get_executor()), thread_([this] { RunContext(); }) {
  (void)pthread_setname_np(thread_.native_handle(), name.c_str());
}

Loop::~Loop() { Join(); }

void Loop::RunContext() {
  for (;;) {
    try {
      context_.run();
      return;
    } catch (...) {
      Monitor::TopLevel().Send(std::current_exception());
    }
  }
}

std::future<void> Loop::RunTask(Task<> task) {
  auto promise = std::make_shared<std::promise<void>>();
  std::future<void> result = promise->get_future();
  auto on_exit = [promise](std::exception_ptr error) {
    if (error) {
      promise->set_exception(error);
    } else {
      promise->set_value();
    }
  };
  asio::co_spawn(executor(), std::move(task), std::move(on_exit));
  return result;
}

void Loop::Join() {
  work_guard_.reset();
  if (thread_.joinable()) thread_.join();
}

}  // namespace portreeve
