// The names of Asio that the rest of the library uses, in one place.
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_BASE_ASIO_H_
#define PORTREEVE_LIB_BASE_ASIO_H_

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "lib/base/executor.h"

namespace portreeve {

// A coroutine.  It runs on the loop of its Executor, and the errors of what
// it starts and does not await go to the Executor's Monitor.
template <typename T = void>
using Task = asio::awaitable<T, Executor>;

// Completion tokens for `co_await`: kAwait throws boost::system::system_error,
// kTuple gives the error_code as the first element of a tuple.
inline constexpr asio::use_awaitable_t<Executor> kAwait;
inline constexpr auto kTuple = asio::as_tuple(kAwait);

using StreamSocket = asio::basic_stream_socket<asio::generic::stream_protocol,
                                               asio::io_context::executor_type>;

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_ASIO_H_
