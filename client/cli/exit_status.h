// What the CLI's exit statuses mean.  Scripts rely on them.
#ifndef PORTREEVE_CLIENT_CLI_EXIT_STATUS_H_
#define PORTREEVE_CLIENT_CLI_EXIT_STATUS_H_

namespace portreeve::cli {

enum class ExitStatus {
  kDone = 0,
  kNotClosed = 1,  // Only is-closed gives it.
  kDiffers = 1,    // Only diff gives it.
  kDamaged = 1,    // Only state gives it.
  kUsage = 2,
  kUnreadable = 2,  // Only state gives it.
  kUnreachable = 3,
  kRefused = 4,
  kTimedOut = 5,
  kFailed = 6,
  kCut = 7,  // Only attach and dial give it.
};

// Says for --help what they mean, a line each.
inline constexpr char kExitStatusHelp[] =
    "Exit status:\n"
    "  0  done; is-closed: closed\n"
    "  1  is-closed: not closed; diff: something differs; state: damaged; "
    "from\n"
    "     no other verb\n"
    "  2  wrong usage, or a wrong file; nothing was asked of the daemon, and\n"
    "     another try ends so, too; state: it cannot be read\n"
    "  3  the daemon was not reached, or the connection to it broke\n"
    "  4  the daemon refused; the reason, in capitals, is on stderr\n"
    "  5  --timeout passed\n"
    "  6  any other failure\n"
    "  7  attach, dial: the connection was cut; the reason is on stderr\n"
    "A program that a signal ends has 128 + its number in most shells: 130 "
    "for\n"
    "Ctrl-C, 141 where the reader of its output has gone.\n";

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_EXIT_STATUS_H_
