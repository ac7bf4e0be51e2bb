"""A Debian of its own in a folder, and packages for it."""

import atexit
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile

PACKAGE = os.environ["PORTREEVE_DEB"]
RELEASE = "bookworm"
TMP = os.environ.get("TEST_TMPDIR", "/var/tmp")
ENVIRONMENT = {
    "DEBIAN_FRONTEND": "noninteractive",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    **{name: value for name, value in os.environ.items()
       if name.lower() in ("http_proxy", "https_proxy", "no_proxy")},
}
# dpkg and apt keep these for themselves.
NOT_OURS = ("var/cache/apt", "var/log/apt", "var/lib/apt", "proc", "sys")

# So Bazel ends a test that takes too long; its folders go all the same.
signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))


def run(*words, **options):
    """Gives what it prints."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, **options)
    assert done.returncode == 0, (words, done.returncode, done.stdout)
    return done.stdout


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def mirror():
    """That which this machine takes its packages from."""
    sites = run("apt-get", "indextargets", "--format", "$(REPO_URI)",
                "Identifier: Packages", f"Codename: {RELEASE}", "Label: Debian")
    return sites.split()[0]


def fresh_folder():
    """Gives a folder that anybody may go through, as into a root. It goes with
    this process."""
    folder = tempfile.mkdtemp(dir=TMP)
    atexit.register(remove, folder)
    os.chmod(folder, 0o755)
    return folder


def remove(folder):
    run("rm", "--recursive", "--force", "--one-file-system", folder)


@functools.lru_cache(None)
def bare():
    """Gives the folder of a Debian that has nothing but what every one has."""
    folder = fresh_folder()
    run("debootstrap", "--variant=minbase", RELEASE, folder, mirror())
    shutil.copy("/etc/resolv.conf", f"{folder}/etc/resolv.conf")
    # No package starts anything; systemd_test.py takes this away.
    write(f"{folder}/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")
    os.chmod(f"{folder}/usr/sbin/policy-rc.d", 0o755)
    return folder


def older(changes=lambda tree: None, version="0.0.1"):
    """Gives PACKAGE as one of a version before; `changes` may change its files."""
    folder = fresh_folder()
    tree, made = f"{folder}/tree", f"{folder}/portreeve_{version}.deb"
    run("dpkg-deb", "--raw-extract", PACKAGE, tree)
    control = read(f"{tree}/DEBIAN/control").splitlines()
    write(f"{tree}/DEBIAN/control", "".join(
        f"Version: {version}\n" if line.startswith("Version: ")
        else f"{line}\n" for line in control))
    changes(tree)
    run("dpkg-deb", "--root-owner-group", "--build", tree, made)
    return made


class Root:
    """A copy of bare(), or of another."""

    def __init__(self, model=None):
        self.folder = fresh_folder()
        run("cp", "--archive", f"{model.folder if model else bare()}/.",
            self.folder)

    def remove(self):
        remove(self.folder)

    def path(self, path):
        return self.folder + path

    def inside(self, *words):
        """Gives the words of a command that runs `words` in here.  Its /proc goes
        with its mount namespace."""
        return ("unshare", "--mount", "--propagation", "private", "sh", "-euc",
                'mount -t proc proc "$1/proc"; exec chroot "$@"', "sh",
                self.folder, *words)

    def run(self, *words):
        return run(*self.inside(*words), env=ENVIRONMENT)

    def run_alone(self, *words):
        """As run(), but whatever `words` leave behind ends with them, also where
        this process is killed."""
        return run("unshare", "--pid", "--fork", "--kill-child",
                   *self.inside(*words), env=ENVIRONMENT)

    def apt(self, *words):
        return self.run("apt-get", "-q", "-y", "--no-install-recommends",
                        *words)

    def install(self, package):
        shutil.copy(package, self.path("/new.deb"))
        said = self.apt("install", "/new.deb")
        os.remove(self.path("/new.deb"))
        return said

    def numbers(self, user):
        """Gives the user's number and the group's."""
        for line in read(self.path("/etc/passwd")).splitlines():
            name, _, uid, gid, *_ = line.split(":")
            if name == user:
                return int(uid), int(gid)
        raise KeyError(user)

    def traces(self):
        """Gives all paths that the package or its daemon may have left."""
        found = []
        for folder, folders, files in os.walk(self.folder):
            where = os.path.relpath(folder, self.folder)
            if where in NOT_OURS:
                folders[:] = []
                continue
            found += [os.path.normpath(f"/{where}/{name}")
                      for name in folders + files
                      if "portreeve" in os.path.join(where, name)]
        return sorted(found)
