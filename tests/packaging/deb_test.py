"""What is in the package, and what systemd, lintian and dpkg say of it."""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import unittest

PACKAGE, VERSION = sys.argv[1:3]
PROGRAM, TEXT = "-rwxr-xr-x", "-rw-r--r--"
CONFFILES = {
    "/etc/logrotate.d/portreeve": TEXT,
    "/etc/portreeve/portreeved.conf": TEXT,
}
FILES = {
    **CONFFILES,
    "/lib/systemd/system/portreeved.service": TEXT,
    "/lib/systemd/system/portreeved.socket": TEXT,
    "/usr/bin/portreeve": PROGRAM,
    "/usr/bin/portreeved": PROGRAM,
    "/usr/lib/sysusers.d/portreeve.conf": TEXT,
    "/usr/share/bash-completion/completions/portreeve": TEXT,
    "/usr/share/bash-completion/completions/portreeved": TEXT,
    "/usr/share/doc/portreeve/ACCESS.md": TEXT,
    "/usr/share/doc/portreeve/MONITORING.md": TEXT,
    "/usr/share/doc/portreeve/OPERATIONS.md": TEXT,
    "/usr/share/doc/portreeve/changelog.gz": TEXT,
    "/usr/share/doc/portreeve/copyright": TEXT,
    "/usr/share/doc/portreeve/examples/policy.textproto": TEXT,
    "/usr/share/doc/portreeve/examples/portreeved-web.socket": TEXT,
    "/usr/share/man/man1/portreeve.1.gz": TEXT,
    "/usr/share/man/man5/portreeve-policy.5.gz": TEXT,
    "/usr/share/man/man8/portreeved.8.gz": TEXT,
}
SCRIPTS = ("postinst", "postrm", "prerm")


def output_of(*words, **options):
    return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True,
                          **options).stdout


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class Unpacked(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.addClassCleanup(subprocess.run, ["rm", "-rf", cls.folder])
        cls.tree, cls.control = f"{cls.folder}/tree", f"{cls.folder}/control"
        output_of("dpkg-deb", "--extract", PACKAGE, cls.tree)
        output_of("dpkg-deb", "--control", PACKAGE, cls.control)


class ContentsTest(Unpacked):

    def test_files_are_these_and_are_roots(self):
        found = {}
        for line in output_of("dpkg-deb", "--contents", PACKAGE).splitlines():
            mode, owner, _, _, _, name = line.split(None, 5)
            self.assertEqual(owner, "root/root", line)
            if mode.startswith("d"):
                self.assertEqual(mode, "drwxr-xr-x", line)
            else:
                found[name[1:]] = mode
        self.assertEqual(found, FILES)
        self.assertEqual(
            os.listdir(f"{self.tree}/etc/portreeve/listeners.d"), [])

    def test_what_an_administrator_changes_is_a_conffile(self):
        listed = read(f"{self.control}/conffiles").splitlines()
        self.assertEqual(sorted(listed), sorted(CONFFILES))

    def test_sums_are_those_of_all_other_files(self):
        sums = dict(reversed(line.split("  ", 1)) for line in
                    read(f"{self.control}/md5sums").splitlines())
        self.assertEqual({f"/{name}" for name in sums},
                         FILES.keys() - CONFFILES.keys())
        for name, listed in sums.items():
            with open(f"{self.tree}/{name}", "rb") as file:
                self.assertEqual(hashlib.md5(file.read()).hexdigest(), listed)

    def test_programs_are_stripped_and_of_this_version(self):
        for name in ("portreeve", "portreeved"):
            path = f"{self.tree}/usr/bin/{name}"
            self.assertEqual(output_of(path, "--version").strip(),
                             f"{name} {VERSION}")
            self.assertNotIn(".symtab", output_of("readelf", "-SW", path))

    def test_changelog_begins_with_this_version(self):
        changelog = f"{self.tree}/usr/share/doc/portreeve/changelog.gz"
        self.assertTrue(output_of("zcat", changelog).startswith(
            f"portreeve ({VERSION}) "))


class ConfigurationTest(Unpacked):

    def test_flags_are_those_of_the_daemon(self):
        flags = re.findall(r"^#?(--[a-z-]+)", read(
            f"{self.tree}/etc/portreeve/portreeved.conf"), re.MULTILINE)
        known = output_of(f"{self.tree}/usr/bin/portreeved", "--help")
        self.assertGreater(len(flags), 10)
        for flag in flags:
            self.assertRegex(known, rf"(?m)^  {flag} ")

    def test_a_line_without_a_sign_is_a_flag_of_the_package(self):
        lines = read(f"{self.tree}/etc/portreeve/portreeved.conf").splitlines()
        self.assertEqual(
            [line for line in lines if line and not line.startswith("#")],
            ["--state /var/lib/portreeve", "--fdstore",
             "--listeners /etc/portreeve/listeners.d",
             "--control unix:/run/portreeve/control?mode=0660&group=portreeve"])


class ControlTest(Unpacked):

    def field(self, name):
        return output_of("dpkg-deb", "--field", PACKAGE, name).strip()

    def test_fields(self):
        self.assertEqual(self.field("Package"), "portreeve")
        self.assertEqual(self.field("Version"), VERSION)
        self.assertEqual(self.field("Architecture"),
                         output_of("dpkg", "--print-architecture").strip())
        self.assertEqual(
            os.path.basename(PACKAGE),
            f"portreeve_{VERSION}_{self.field('Architecture')}.deb")
        self.assertGreater(int(self.field("Installed-Size")), 1000)
        for field in ("Maintainer", "Description", "Section", "Priority"):
            self.assertNotIn(self.field(field), ("", "@"))
        self.assertNotIn("@", read(f"{self.control}/control").replace(
            self.field("Maintainer"), ""))

    def test_libraries_are_dependencies(self):
        depends = self.field("Depends").split(", ")
        self.assertIn(
            "systemd | systemd-standalone-sysusers | systemd-sysusers", depends)
        names = {depend.split()[0] for depend in depends}
        libraries = set()
        for name in ("portreeve", "portreeved"):
            libraries |= set(re.findall(r"=> (\S+)", output_of(
                "ldd", f"{self.tree}/usr/bin/{name}")))
        self.assertGreater(len(libraries), 10)
        # Those that the programs name themselves; the rest is theirs to bring.
        self.assertTrue({"libc6", "libgrpc++1.51", "libssl3"} <= names, names)

    def test_scripts_are_those_of_a_plain_shell(self):
        for name in SCRIPTS:
            path = f"{self.control}/{name}"
            self.assertTrue(os.access(path, os.X_OK))
            self.assertTrue(read(path).startswith("#!/bin/sh\n"))
            self.assertIn("\nset -e\n", read(path))
            output_of("dash", "-n", path)

    def test_lintian_finds_no_error(self):
        # Its owner does not matter; as root lintian warns on stderr.
        found = subprocess.run(
            ["lintian", "--fail-on", "error", PACKAGE], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self.assertEqual(found.returncode, 0, found.stdout + found.stderr)


class UnitTest(Unpacked):

    def setUp(self):
        # The daemon lies here, and not where the unit says.
        self.units = f"{self.folder}/units"
        os.makedirs(self.units, exist_ok=True)
        for path in (
                "lib/systemd/system/portreeved.service",
                "lib/systemd/system/portreeved.socket",
                "usr/share/doc/portreeve/examples/portreeved-web.socket"):
            text = read(f"{self.tree}/{path}").replace(
                "/usr/bin/", f"{self.tree}/usr/bin/")
            with open(f"{self.units}/{os.path.basename(path)}", "w",
                      encoding="utf-8") as file:
                file.write(text)

    def test_systemd_finds_nothing_wrong(self):
        found = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", *os.listdir(self.units)],
            env={**os.environ, "SYSTEMD_UNIT_PATH": f"{self.units}:"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual((found.returncode, found.stdout), (0, ""))

    def test_exposure_is_at_most_2(self):
        found = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=20",
             f"{self.units}/portreeved.service"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(found.returncode, 0, found.stdout)

    def test_control_socket_is_where_the_daemon_looks(self):
        flags = read(f"{self.tree}/etc/portreeve/portreeved.conf")
        (control,) = re.findall(r"^--control unix:(.+)\?mode=(\d+)&group=(.+)$",
                                flags, re.MULTILINE)
        socket = read(f"{self.units}/portreeved.socket")
        self.assertEqual(control, tuple(
            re.search(f"^{key}=(.+)$", socket, re.MULTILINE)[1]
            for key in ("ListenStream", "SocketMode", "SocketGroup")))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
