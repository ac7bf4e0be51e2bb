// How --help looks: 80 columns, with the global options and the exit statuses
// under each verb.
#ifndef PORTREEVE_CLIENT_CLI_HELP_H_
#define PORTREEVE_CLIENT_CLI_HELP_H_

namespace CLI {
class App;
}  // namespace CLI

namespace portreeve::cli {

// Sets that for the App and every verb that is added to it later.
void SetHelp(CLI::App& app);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_HELP_H_
