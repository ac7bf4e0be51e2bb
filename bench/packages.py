"""Debian's packages that the benchmark needs and the build does not."""

import contextlib
import os
import shutil
import subprocess
import sys
import time

PACKAGES = ("haproxy", "libnginx-mod-stream", "nginx-light",
            "python3-matplotlib", "strace")
# While this answers 101, no package starts the service that it brings.
POLICY = "/usr/sbin/policy-rc.d"


def install_missing(say, packages=PACKAGES):
    wanted = [package for package in packages if not installed(package)]
    if not wanted:
        return
    say(f"installing {' '.join(wanted)} (may take minutes)")
    root = as_root(wanted)
    with services_off(root):
        update(root)
        done = apt_get(root, "install", "--no-install-recommends", *wanted)
    if done.returncode != 0:
        reasons = [line for line in done.stdout.splitlines()
                   if line.startswith(("E:", "W:", "sudo:"))]
        sys.exit(f"bench: could not install {' '.join(wanted)}: "
                 f"{reasons[-1] if reasons else done.stdout[-500:]}")


def installed(package):
    status = subprocess.run(
        ["dpkg-query", "-W", "-f=${db:Status-Status}", package],
        capture_output=True, text=True, check=False)
    return status.stdout == "installed"


def as_root(wanted):
    """The command prefix that makes one root."""
    if os.geteuid() == 0:
        return ["env"]
    if not shutil.which("sudo"):
        sys.exit("bench: not root and no sudo; as root: apt-get install "
                 + " ".join(wanted))
    # Without a terminal nobody can type a password.
    return ["sudo", "env"] if sys.stdin.isatty() else ["sudo", "-n", "env"]


@contextlib.contextmanager
def services_off(root):
    """Where the machine has no policy of its own."""
    if os.path.exists(POLICY):
        yield
        return
    subprocess.run([*root, "sh", "-c",
                    f"printf '#!/bin/sh\\nexit 101\\n' >{POLICY} && "
                    f"chmod 755 {POLICY}"], check=True)
    try:
        yield
    finally:
        subprocess.run([*root, "rm", "-f", POLICY], check=True)


def update(root):
    """Fetches the lists; where that fails, installing says what it means."""
    for _ in range(120):
        # Their lock, unlike dpkg's, apt-get does not wait for.
        done = apt_get(root, "update")
        if "E: Could not get lock" not in done.stdout:
            return
        time.sleep(2)


def apt_get(root, *arguments):
    # Another apt that is at work is waited for.  Nothing must ask.
    return subprocess.run(
        [*root, "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1",
         "LC_ALL=C.UTF-8", "apt-get", "-q", "-y",
         "-o", "DPkg::Lock::Timeout=600", "-o", "Acquire::Retries=2",
         *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False)
