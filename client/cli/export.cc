// export.
#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <memory>
#include <optional>
#include <vector>

#include "client/cli/option.h"
#include "client/cli/verb.h"
#include "listener_files/listener_file.h"

namespace portreeve::cli {
namespace {

constexpr char kExportHelp[] =
    "Prints all open listeners as apply takes them. That is, their names, and\n"
    "what they shall be, with every default; a port that the OS chose is 0.\n"
    "  $ portreeve export > all.yaml";

}  // namespace

Verb AddExport(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("export", kExportHelp);
  auto wanted = std::make_shared<std::optional<FileFormat>>();
  AddOption(*verb, "--format", "yaml|json|textproto",
            "The format. Default: yaml; json with -o json",
            [wanted](const std::string& text) {
              const auto format = ParseFileFormat(text);
              if (format.ok()) *wanted = *format;
              return format.status();
            });
  return {verb, [wanted](Session& session) -> absl::StatusOr<ExitStatus> {
            const auto list =
                session.client.ListAllListeners(session.Ordinary());
            if (!list.ok()) return list.status();
            std::vector<v1::Listener> open;
            for (const v1::Listener& listener : list->listeners()) {
              if (!listener.status().is_closed()) open.push_back(listener);
            }
            const FileFormat standard = session.options.output == Output::kJson
                                            ? FileFormat::kJson
                                            : FileFormat::kYaml;
            session.out << ListenersText(open, wanted->value_or(standard));
            session.out.flush();
            if (!session.out) {
              return absl::DataLossError("the output cannot be written");
            }
            return ExitStatus::kDone;
          }};
}

}  // namespace portreeve::cli
