// Descriptors 0, 1 and 2 of a process.
#ifndef PORTREEVE_SERVER_DAEMON_STANDARD_DESCRIPTORS_H_
#define PORTREEVE_SERVER_DAEMON_STANDARD_DESCRIPTORS_H_

namespace portreeve::server {

// Puts /dev/null where whoever started the process has closed stdin, stdout or
// stderr: otherwise the next socket would have that number, and get what is
// logged.  Ends the process with status 1 where one would stay closed.
//
// It has to be called before anything is opened, by .preinit_array: the
// constructors of libraries are too late, since that of libgrpc 1.51 opens an
// eventfd.  It uses nothing that has to be initialized.
void OpenStandardDescriptors();

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_STANDARD_DESCRIPTORS_H_
