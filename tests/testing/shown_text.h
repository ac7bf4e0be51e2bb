// Texts of others, and how the daemon and the command line must show them.
#ifndef PORTREEVE_TESTS_TESTING_SHOWN_TEXT_H_
#define PORTREEVE_TESTS_TESTING_SHOWN_TEXT_H_

namespace portreeve::testing {

struct ShownText {
  const char* text;
  const char* bytes;  // For people, on a terminal.
  const char* json;   // Within a string of JSON.
};

inline constexpr ShownText kShownTexts[] = {
    // What shows itself.
    {"", "", ""},
    {"a b ~", "a b ~", "a b ~"},
    {"\u00a0\u00a1\u00e9", "\u00a0\u00a1\u00e9", "\u00a0\u00a1\u00e9"},
    {"\u0628\u05d0\u20ac", "\u0628\u05d0\u20ac", "\u0628\u05d0\u20ac"},
    {"\u2027\u202f\u2070", "\u2027\u202f\u2070", "\u2027\u202f\u2070"},
    {"\ufffc\ufffd", "\ufffc\ufffd", "\ufffc\ufffd"},
    {"\U0001f600\U0010ffff", "\U0001f600\U0010ffff", "\U0001f600\U0010ffff"},
    // Control characters, of both sets.
    {"a\x01\x19\x7f", "a\\x01\\x19\\x7f", "a\\u0001\\u0019\\u007f"},
    {"\u0080\u009b2J\u009f", "\\xc2\\x80\\xc2\\x9b2J\\xc2\\x9f",
     "\\u0080\\u009b2J\\u009f"},
    // Ends of lines that are no line feeds.
    {"a\u0085b\u2028c\u2029d", "a\\xc2\\x85b\\xe2\\x80\\xa8c\\xe2\\x80\\xa9d",
     "a\\u0085b\\u2028c\\u2029d"},
    // What changes the order of the rest.
    {"user\u202etxt.exe", "user\\xe2\\x80\\xaetxt.exe", "user\\u202etxt.exe"},
    {"\u061c\u200e\u200f", "\\xd8\\x9c\\xe2\\x80\\x8e\\xe2\\x80\\x8f",
     "\\u061c\\u200e\\u200f"},
    {"\u202a\u202b\u202c\u202d",
     "\\xe2\\x80\\xaa\\xe2\\x80\\xab\\xe2\\x80\\xac\\xe2\\x80\\xad",
     "\\u202a\\u202b\\u202c\\u202d"},
    {"\u2066\u2067\u2068\u2069",
     "\\xe2\\x81\\xa6\\xe2\\x81\\xa7\\xe2\\x81\\xa8\\xe2\\x81\\xa9",
     "\\u2066\\u2067\\u2068\\u2069"},
    // What has no glyph.
    {"ad\u00admin", "ad\\xc2\\xadmin", "ad\\u00admin"},
    {"ad\u200bmin\u200c\u200d",
     "ad\\xe2\\x80\\x8bmin\\xe2\\x80\\x8c\\xe2\\x80\\x8d",
     "ad\\u200bmin\\u200c\\u200d"},
    {"\u2060\u2064\u206a\u206f",
     "\\xe2\\x81\\xa0\\xe2\\x81\\xa4\\xe2\\x81\\xaa\\xe2\\x81\\xaf",
     "\\u2060\\u2064\\u206a\\u206f"},
    {"\ufeffa\u180e", "\\xef\\xbb\\xbfa\\xe1\\xa0\\x8e", "\\ufeffa\\u180e"},
    {"\ufff9\ufffa\ufffb", "\\xef\\xbf\\xb9\\xef\\xbf\\xba\\xef\\xbf\\xbb",
     "\\ufff9\\ufffa\\ufffb"},
    {"a\ufe0f\u3164", "a\\xef\\xb8\\x8f\\xe3\\x85\\xa4", "a\\ufe0f\\u3164"},
    {"\U000e0001\U000e0061\U000e007f",
     "\\xf3\\xa0\\x80\\x81\\xf3\\xa0\\x81\\xa1\\xf3\\xa0\\x81\\xbf",
     "\\udb40\\udc01\\udb40\\udc61\\udb40\\udc7f"},
    {"\U0001d173", "\\xf0\\x9d\\x85\\xb3", "\\ud834\\udd73"},
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_SHOWN_TEXT_H_
