// What ThreadSanitizer cannot see, since Debian's libraries are not compiled
// for it.  Each line has its reason; none hides anything of Portreeve's own.
#if __has_feature(thread_sanitizer)
#include <sanitizer/common_interface_defs.h>
#endif

// ThreadSanitizer calls it as a test starts, before there is anything else; in
// other builds nobody does.
extern "C" const char* __tsan_default_suppressions();

extern "C" const char* __tsan_default_suppressions() {
  // Copies of an absl::Status share their text and payloads, and count
  // themselves by an atomic number.  The last one frees these, on whichever
  // thread it is; that the others had read them before is known only by that
  // number, which libabsl counts.  Unref() touches nothing else: two threads
  // that have one and the same Status are still seen.
  return "race:absl::*::status_internal::Payload\n"
         "race:absl::*::Status::Unref\n"
         "race:^Unref$\n";
}

#if __has_feature(thread_sanitizer)
namespace {

// To find out whether a report is among these, ThreadSanitizer starts another
// process, and keeps two pipes to it.  They are opened before a test counts its
// descriptors.
[[maybe_unused]] const bool symbolizer_started = [] {
  char text[1];
  __sanitizer_symbolize_pc(
      reinterpret_cast<void*>(&__tsan_default_suppressions), "%f", text,
      sizeof text);
  return true;
}();

}  // namespace

#endif
