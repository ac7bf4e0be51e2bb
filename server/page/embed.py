"""embed.py FILE...: prints C++ that has the files of the page as they are, each
with the hash of its bytes."""
import hashlib
import os
import sys

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
FIRST = "page.html"  # What "/" is.


def literal(data):
    """Bytes as C++ has them, a string for each line."""
    lines = []
    for line in data.splitlines(keepends=True):
        text = "".join(
            chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else
            f"\\{byte:03o}" for byte in line)
        lines.append(f'    "{text}"')
    return "\n".join(lines)


def main():
    print('#include "server/page/page_files.h"\n')
    print("namespace portreeve::server {\n")
    print("std::vector<PageFile> PageFiles() {\n  return {")
    for path in sorted(sys.argv[1:]):
        name = os.path.basename(path)
        with open(path, "rb") as file:
            data = file.read()
        place = "/" if name == FIRST else f"/{name}"
        kind = TYPES[os.path.splitext(name)[1]]
        etag = hashlib.sha256(data).hexdigest()
        print(f'    {{"{place}", "{kind}", "\\"{etag}\\"",\n'
              f"     std::string_view(\n{literal(data)},\n     {len(data)})}},")
    print("  };\n}\n\n}  // namespace portreeve::server")


if __name__ == "__main__":
    main()
