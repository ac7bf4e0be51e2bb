#include "client/cli/apply_run.h"

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/cli/comes_back.h"
#include "client/cli/error_text.h"
#include "client/cli/listener_source.h"
#include "client/cli/notes.h"
#include "client/cli/printable.h"
#include "client/error.h"
#include "client/name.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/message_differencer.h"

namespace portreeve::cli {
namespace {

using google::protobuf::util::MessageDifferencer;
using Kind = Step::Kind;
using Mode = ApplyOptions::Mode;

// Gives 32 hexadecimal digits.
std::string NewRequestId() {
  std::random_device random;
  std::string id;
  for (int i = 0; i < 4; ++i) absl::StrAppendFormat(&id, "%08x", random());
  return id;
}

bool HasReason(const absl::Status& status, const char* reason) {
  return client::DetailsOf(status).reason == reason;
}

// Whether an error is not about the listener, and so will be the next one's,
// too.
bool IsOfEveryCall(const absl::Status& status) {
  return !status.ok() && client::DetailsOf(status).reason.empty();
}

// Gives the fields in which they differ, a line each, indented.
std::string ChangesText(const v1::ListenerSpec& from,
                        const v1::ListenerSpec& to) {
  std::string report;
  MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&report);
  v1::Listener before;
  v1::Listener after;
  *before.mutable_spec() = from;
  *after.mutable_spec() = to;
  differencer.Compare(before, after);
  std::string text;
  for (const auto line : absl::StrSplit(report, '\n', absl::SkipEmpty())) {
    absl::StrAppend(&text, "  ", Printable(std::string(line)), "\n");
  }
  return text;
}

const char* VerbOf(Mode mode) { return mode == Mode::kDiff ? "diff" : "apply"; }

class Applier {
 public:
  Applier(const ApplyOptions& options, Session& session)
      : mode_(options.mode),
        session_(session),
        notes_(VerbOf(mode_), session.err) {}

  absl::StatusOr<ExitStatus> Run(const std::vector<Step>& steps) {
    for (const Step& step : steps) frees_ |= step.kind == Kind::kPrune;
    std::vector<Checked> checked;
    for (const Step& step : steps) {
      auto result = Check(step);
      if (IsOfEveryCall(result.status())) return result.status();
      if (result.ok()) {
        checked.push_back(*std::move(result));
      } else {
        Refused(step, result.status());
      }
    }
    if (failed_ != ExitStatus::kDone) return failed_;
    for (const Checked& one : checked) {
      const absl::Status status = Take(one);
      if (IsOfEveryCall(status)) return status;
      if (!status.ok()) Refused(one.step, status);
    }
    if (mode_ == Mode::kDiff && differs_) return ExitStatus::kDiffers;
    return failed_;
  }

 private:
  // A step of which the daemon has said that it can be taken.
  struct Checked {
    Step step;
    bool changes = true;  // Whether it makes a difference.
    std::string changes_text;
  };

  client::CallOptions Options() const { return session_.Ordinary(); }

  void Refused(const Step& step, const absl::Status& status) {
    notes_.Say(absl::StrCat(step.name(), ": ", Why(step, status)));
    if (failed_ == ExitStatus::kDone) failed_ = ExitStatusOf(status);
  }

  // Says why, and where in the file, if the daemon names fields.
  std::string Why(const Step& step, const absl::Status& status) const {
    const client::ErrorDetails details = client::DetailsOf(status);
    const std::string text = ErrorText(status, session_.options.server->text);
    if (step.wanted == nullptr) return text;
    if (details.field_violations.empty()) {
      return absl::StrCat(step.wanted->PlaceOf(""), ": ", text);
    }
    std::string all;
    for (const auto& violation : details.field_violations) {
      std::string field(absl::StripPrefix(violation.field, "listener."));
      if (field == "listener_id") field = "name";  // As the file has it.
      absl::StrAppend(&all, all.empty() ? "" : "; ",
                      step.wanted->PlaceOf(field), ": ", field, ": ",
                      absl::StripPrefix(violation.description,
                                        absl::StrCat(violation.field, ": ")));
    }
    return absl::StrCat(details.reason, ": ", all);
  }

  absl::StatusOr<Checked> Check(const Step& step) {
    switch (step.kind) {
      case Kind::kPrune:
      case Kind::kForget:
        return Checked{step, true, ""};
      case Kind::kCreate:
      case Kind::kReplace: {
        auto request = CreateRequest(step);
        // The name of a closed one is free only once that is deleted.
        if (step.kind == Kind::kReplace) request.clear_listener_id();
        request.set_validate_only(true);
        const auto created = session_.client.CreateListener(request, Options());
        if (created.ok() ||
            (frees_ && HasReason(created.status(), "ADDRESS_IN_USE"))) {
          return Checked{step, true, ""};
        }
        return created.status();
      }
      case Kind::kUpdate:
        return CheckUpdate(step);
    }
    return absl::InternalError("no such step");
  }

  absl::StatusOr<Checked> CheckUpdate(const Step& step) {
    auto request = UpdateRequest(step);
    request.set_validate_only(true);
    const auto updated = session_.client.UpdateListener(request, Options());
    const v1::ListenerSpec& present = step.present->spec();
    if (mode_ == Mode::kDiff &&
        HasReason(updated.status(), "IMMUTABLE_FIELD")) {
      return Checked{
          step, true,
          absl::StrCat(ChangesText(present, step.wanted->listener.spec()),
                       "  spec.where_to_listen cannot be changed: close and "
                       "delete it first\n")};
    }
    if (!updated.ok()) return updated.status();
    if (MessageDifferencer::Equals(updated->spec(), present)) {
      return Checked{step, false, ""};
    }
    return Checked{step, true, ChangesText(present, updated->spec())};
  }

  static v1::CreateListenerRequest CreateRequest(const Step& step) {
    v1::CreateListenerRequest request;
    const auto id = client::ListenerId(step.name());
    if (id.ok()) request.set_listener_id(*id);
    *request.mutable_spec() = step.wanted->listener.spec();
    return request;
  }

  static v1::UpdateListenerRequest UpdateRequest(const Step& step) {
    v1::UpdateListenerRequest request;
    *request.mutable_listener() = step.wanted->listener;
    request.mutable_update_mask()->add_paths("*");
    return request;
  }

  absl::Status Take(const Checked& checked) {
    differs_ |= checked.changes;
    const Step& step = checked.step;
    if (mode_ == Mode::kDiff) return SayDifference(checked);
    const bool acts = mode_ == Mode::kApply;
    if (!checked.changes) return Say(step, "unchanged");
    switch (step.kind) {
      case Kind::kPrune:
        return acts ? Prune(step) : Say(step, "deleted");
      case Kind::kForget:
        return acts ? Forget(step) : Say(step, "deleted");
      case Kind::kCreate:
      case Kind::kReplace:
        return acts ? Create(step) : Say(step, "created");
      case Kind::kUpdate:
        return acts ? Update(step) : Say(step, "updated");
    }
    return absl::OkStatus();
  }

  absl::Status Create(const Step& step) {
    if (step.kind == Kind::kReplace) {
      const absl::Status deleted = Delete(step);
      if (!deleted.ok()) return deleted;
    }
    auto request = CreateRequest(step);
    request.set_request_id(NewRequestId());
    auto created = session_.client.CreateListener(request, Options());
    // The answer may have been lost, and not the request.
    if (client::IsUnreachable(created.status())) {
      created = session_.client.CreateListener(request, Options());
    }
    if (!created.ok()) return created.status();
    return Say(step, "created");
  }

  absl::Status Update(const Step& step) {
    const auto updated =
        session_.client.UpdateListener(UpdateRequest(step), Options());
    if (!updated.ok()) return updated.status();
    return Say(step, "updated");
  }

  absl::Status Prune(const Step& step) {
    v1::CloseListenerRequest request;
    request.set_name(step.name());
    const auto closed = session_.client.CloseListener(request, Options());
    if (!closed.ok()) return closed.status();
    const std::string comes_back = ComesBackText(*closed);
    if (!comes_back.empty()) notes_.Say(comes_back);
    return Forget(step);
  }

  absl::Status Forget(const Step& step) {
    const absl::Status deleted = Delete(step);
    if (HasReason(deleted, "LISTENER_OPEN")) {
      notes_.Say(absl::StrCat(step.name(),
                              ": its connections go on; it can be deleted "
                              "once they have ended"));
      return Say(step, "closed");
    }
    if (!deleted.ok()) return deleted;
    return Say(step, "deleted");
  }

  // What is gone already is deleted.
  absl::Status Delete(const Step& step) {
    const absl::Status deleted =
        session_.client.DeleteListener(step.name(), Options());
    return HasReason(deleted, "NOT_FOUND") ? absl::OkStatus() : deleted;
  }

  absl::Status SayDifference(const Checked& checked) {
    if (!checked.changes) return absl::OkStatus();
    switch (checked.step.kind) {
      case Kind::kPrune:
      case Kind::kForget:
        return Say(checked.step, "is not in the file");
      case Kind::kCreate:
        return Say(checked.step, "is missing");
      case Kind::kReplace:
        return Say(checked.step, "is closed");
      case Kind::kUpdate:
        return Say(checked.step, "differs", checked.changes_text);
    }
    return absl::OkStatus();
  }

  // Prints one listener's line, and `more` below it.
  absl::Status Say(const Step& step, const std::string& what,
                   const std::string& more = "") {
    google::protobuf::Struct object;
    auto& fields = *object.mutable_fields();
    fields["name"].set_string_value(step.name());
    fields["result"].set_string_value(what);
    if (mode_ == Mode::kDryRun) fields["dryRun"].set_bool_value(true);
    if (!more.empty()) fields["changes"].set_string_value(more);
    return session_.Print(
        object,
        absl::StrCat(Printable(step.name()), " ", what,
                     mode_ == Mode::kDryRun ? " (dry run)" : "", "\n", more));
  }

  const Mode mode_;
  Session& session_;
  Notes notes_;
  bool frees_ = false;  // Whether a step closes a listener.
  bool differs_ = false;
  ExitStatus failed_ = ExitStatus::kDone;  // Of the first that failed.
};

}  // namespace

absl::StatusOr<ExitStatus> RunApply(const ApplyOptions& options,
                                    Session& session) {
  const auto wanted = ReadListeners(options.source, session.input);
  if (!wanted.ok()) {
    Notes(VerbOf(options.mode), session.err)
        .Say(std::string(wanted.status().message()));
    return ExitStatus::kUsage;
  }
  const auto list = session.client.ListAllListeners(session.Ordinary());
  if (!list.ok()) return list.status();
  const std::vector<v1::Listener> present(list->listeners().begin(),
                                          list->listeners().end());
  return Applier(options, session)
      .Run(Plan(*wanted, present, options.selector));
}

}  // namespace portreeve::cli
