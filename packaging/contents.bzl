"""What the package has, beside what packaging/make_deb.sh makes by itself."""

# From a target to the path of its file; what ends in .gz is compressed.
FILES = {
    "//client:portreeve": "/usr/bin/portreeve",
    "//server:portreeved": "/usr/bin/portreeved",
    "//packaging:systemd/portreeved.service": "/lib/systemd/system/portreeved.service",
    "//packaging:systemd/portreeved.socket": "/lib/systemd/system/portreeved.socket",
    "//packaging:systemd/sysusers.conf": "/usr/lib/sysusers.d/portreeve.conf",
    "//packaging:portreeved.conf": "/etc/portreeve/portreeved.conf",
    "//packaging:portreeved.logrotate": "/etc/logrotate.d/portreeve",
    "//packaging:debian/copyright": "/usr/share/doc/portreeve/copyright",
    "//packaging:policy.textproto": "/usr/share/doc/portreeve/examples/policy.textproto",
    "//packaging:systemd/portreeved-web.socket": "/usr/share/doc/portreeve/examples/portreeved-web.socket",
    "//docs:ACCESS.md": "/usr/share/doc/portreeve/ACCESS.md",
    "//docs:MONITORING.md": "/usr/share/doc/portreeve/MONITORING.md",
    "//docs:OPERATIONS.md": "/usr/share/doc/portreeve/OPERATIONS.md",
    "//packaging/man:portreeve.1": "/usr/share/man/man1/portreeve.1.gz",
    "//packaging/man:portreeve-policy.5": "/usr/share/man/man5/portreeve-policy.5.gz",
    "//packaging/man:portreeved.8": "/usr/share/man/man8/portreeved.8.gz",
    "//packaging/completion:portreeve": "/usr/share/bash-completion/completions/portreeve",
    "//packaging/completion:portreeved": "/usr/share/bash-completion/completions/portreeved",
}

EMPTY_FOLDERS = ["/etc/portreeve/listeners.d"]

# What dpkg itself reads.
CONTROL = [
    "//packaging:debian/changelog",
    "//packaging:debian/control",
    "//packaging:debian/postinst",
    "//packaging:debian/postrm",
    "//packaging:debian/prerm",
]

# As dpkg --print-architecture has it.
ARCHITECTURE = select({
    "@platforms//cpu:aarch64": "arm64",
    "@platforms//cpu:x86_64": "amd64",
})
