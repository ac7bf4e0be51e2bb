"""The manual pages: man shows them without a warning, and they have all that
--help has."""

import os
import re
import subprocess
import unittest

PORTREEVED, PORTREEVE = "server/portreeved", "client/portreeve"
PAGES = ("portreeve.1", "portreeved.8", "portreeve-policy.5")
DEADLINE = 30
FLAG = re.compile(r"^  (-.*)$", re.M)
VERB = re.compile(r"^  ([a-z-]+)  ", re.M)


def output_of(*words):
    return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True,
                          timeout=DEADLINE).stdout


def shown(page, width=80):
    """The page as man shows it, and what man says of it."""
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", f"packaging/man/{page}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True,
        timeout=DEADLINE,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8",
             "MANWIDTH": str(width), "MANROFFOPT": "", "MAN_KEEP_FORMATTING":
             "", "HOME": "/nonexistent"})
    return done.stdout, done.stderr


def words_of(text):
    return " ".join(text.split())


def flags_of(help_text):
    """What --help shows of each flag: its names and type, and its text."""
    lines = help_text.splitlines()
    for number, line in enumerate(lines):
        if not line.startswith("  -"):
            continue
        names, about = line[2:], []
        # CLI11 itself puts the text behind the names, if they are short.
        if re.search(r"\S {2,}\S", names):
            names, first = re.split(r" {2,}", names, 1)
            about.append(first)
        for more in lines[number + 1:]:
            if not more.startswith("      "):
                break
            about.append(more)
        yield names.strip(), words_of(" ".join(about))


class ManTest(unittest.TestCase):

    def test_man_warns_of_nothing(self):
        for page in PAGES:
            for width in (60, 80, 200):
                text, said = shown(page, width)
                self.assertEqual(said, "", page)
                self.assertIn("NAME", text)
                self.assertIn("SEE ALSO", text)

    def check_flags(self, page, help_text):
        self.assertIn("--help", help_text)
        for names, about in flags_of(help_text):
            first = names.split()[0].split(",")
            for name in first:
                self.assertIn(name, page, names)
            self.assertIn(about, page, names)

    def test_the_page_of_the_daemon_has_all_flags(self):
        page = words_of(shown("portreeved.8", 10000)[0])
        help_text = output_of(PORTREEVED, "--help")
        self.assertGreater(len(list(flags_of(help_text))), 15)
        self.check_flags(page, help_text)

    def test_the_page_of_the_client_has_all_verbs_and_flags(self):
        page = words_of(shown("portreeve.1", 10000)[0])
        help_text = output_of(PORTREEVE, "--help")
        verbs = VERB.findall(help_text[help_text.index("\nVerbs:"):])
        self.assertGreater(len(verbs), 15)
        self.check_flags(page, help_text)
        for verb in verbs:
            about = output_of(PORTREEVE, verb, "--help")
            usage = re.search(r"Usage: (portreeve .*)", about).group(1)
            self.assertIn(f"{usage}", page)
            self.check_flags(page, about)
        exit_status = help_text[help_text.index("Exit status:"):]
        self.assertIn(words_of(exit_status).replace("Exit status:",
                                                    "EXIT STATUS"), page)

    def test_the_page_of_the_policy_has_all_fields_and_roles(self):
        page = shown("portreeve-policy.5")[0]
        with open("proto/portreeve/v1/policy.proto", encoding="utf-8") as file:
            proto = file.read()
        fields = re.findall(r"^ +(?:repeated )?\w+ (\w+) = \d+;", proto, re.M)
        roles = re.findall(r"^ +(ROLE_\w+) = [1-9]", proto, re.M)
        self.assertGreater(len(fields), 10)
        self.assertEqual(len(roles), 3)
        for name in fields + roles:
            self.assertRegex(page, rf"\b{name}\b")

    def test_the_pages_name_the_release(self):
        version = output_of(PORTREEVED, "--version").split()[1]
        for page in PAGES:
            self.assertIn(f"Portreeve {version}", shown(page)[0])


if __name__ == "__main__":
    unittest.main()
