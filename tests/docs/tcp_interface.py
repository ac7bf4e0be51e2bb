"""What Async's tcp.mli has, in its order (v0.18~preview.130.72 of async_unix).

Each name has a row of its own in docs/CONFORMANCE.md. Functions that take the
same arguments have one row for each of these: `Server.create*` are `create`,
`create_inet`, `create_sock` and `create_sock_inet`.
"""

_SOURCE = ["?bind_to_address", "?bind_to_port", "?show_port_in_test"]


def _with_arguments(name, arguments):
    return [name] + [f"{name} {argument}" for argument in arguments]


INTERFACE = (
    ["Where_to_connect.t", "Where_to_connect.inet", "Where_to_connect.unix",
     "Where_to_connect.sexp_of_t", "Where_to_connect.remote_address"]
    + _with_arguments("Where_to_connect.of_host_and_port", _SOURCE)
    + _with_arguments("Where_to_connect.of_inet_address", _SOURCE)
    + ["Where_to_connect.of_file", "Where_to_connect.of_unix_address"]
    + _with_arguments("with_connection", [
        "?socket", "?buffer_age_limit", "?interrupt", "?reader_buffer_size",
        "?writer_buffer_size", "?timeout", "?time_source"])
    + _with_arguments("connect_sock", [
        "?socket", "?interrupt", "?timeout", "?time_source"])
    + _with_arguments("connect", [
        "?socket", "?buffer_age_limit", "?interrupt", "?reader_buffer_size",
        "?writer_buffer_size", "?timeout", "?time_source"])
    + ["Bind_to_address.Address", "Bind_to_address.All_addresses",
       "Bind_to_address.Localhost", "Bind_to_address.sexp_of_t",
       "Bind_to_port.On_port", "Bind_to_port.On_port_chosen_by_os",
       "Bind_to_port.sexp_of_t"]
    + ["Where_to_listen.t", "Where_to_listen.inet", "Where_to_listen.unix",
       "Where_to_listen.sexp_of_t"]
    + _with_arguments("Where_to_listen.create", [
        "~socket_type", "~address", "~listening_on"])
    + ["Where_to_listen.create_no_reuseaddr", "Where_to_listen.address"]
    + _with_arguments("Where_to_listen.bind_to", ["?reuseaddr", "?reuseport"])
    + ["Where_to_listen.of_port", "Where_to_listen.of_port_chosen_by_os",
       "Where_to_listen.of_port_chosen_by_os_no_reuseaddr",
       "Where_to_listen.of_file"]
    + ["Server.t", "Server.inet", "Server.unix", "Server.sexp_of_t",
       "Server.invariant", "Server.listening_on",
       "Server.listening_on_address"]
    + _with_arguments("Server.close", ["?close_existing_connections"])
    + ["Server.close_finished", "Server.is_closed",
       "Server.close_finished_and_handlers_determined"]
    + ["Server.create_sock", "Server.create_sock_inet", "Server.create",
       "Server.create_inet"]
    + [f"Server.create {argument}" for argument in [
        "?buffer_age_limit", "?reader_buffer_size", "?writer_buffer_size"]]
    + [f"Server.create* {argument}" for argument in [
        "?max_connections", "?max_accepts_per_batch", "?backlog",
        "?drop_incoming_connections", "?socket", "?time_source",
        "~on_handler_error"]]
    + ["Server.listening_socket", "Server.num_connections",
       "Server.set_drop_incoming_connections",
       "Server.is_dropping_incoming_connections", "Server.Private.fd",
       "Aliases.with_connect_options",
       "Private.close_connection_via_reader_and_writer",
       "Private.set_max_connection_limit_logger"])
