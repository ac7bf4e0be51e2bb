// Whether this was built with AddressSanitizer, as the daemon was then: all
// takes several times as long.
#ifndef PORTREEVE_TESTS_MODEL_SANITIZED_H_
#define PORTREEVE_TESTS_MODEL_SANITIZED_H_

namespace portreeve::model {

#if __has_feature(address_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace portreeve::model

#endif  // PORTREEVE_TESTS_MODEL_SANITIZED_H_
