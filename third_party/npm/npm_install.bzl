"""Packages of npm, as a lock file names them."""

_TIMEOUT_SECONDS = 300

# What the system trusts, npm shall trust, too: builds of Node that are not
# Debian's bring their own list of authorities.
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"

_BUILD = """\
filegroup(
    name = "node_modules",
    srcs = glob(
        ["node_modules/**"],
        # Links to programs, and npm's own notes.
        exclude = [
            "node_modules/.bin/**",
            "node_modules/**/.bin/**",
            "node_modules/.package-lock.json",
        ],
    ),
    visibility = ["//visibility:public"],
)
"""

def _npm_install_impl(repository_ctx):
    npm = repository_ctx.which("npm")
    if npm == None or repository_ctx.which("node") == None:
        fail("npm_install needs the commands `node` and `npm`; " +
             "`./bazelw` installs the Debian packages nodejs and npm")

    # Reading a label makes Bazel fetch again when the file changes. Copies:
    # npm would follow a link, and write beside its target.
    for name, label in [
        ("package.json", repository_ctx.attr.package_json),
        ("package-lock.json", repository_ctx.attr.package_lock),
    ]:
        repository_ctx.file(name, repository_ctx.read(label), executable = False)

    environment = {}
    if repository_ctx.path(_AUTHORITIES).exists:
        environment["NODE_EXTRA_CA_CERTS"] = _AUTHORITIES
    result = repository_ctx.execute(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        environment = environment,
        timeout = _TIMEOUT_SECONDS,
    )
    if result.return_code != 0:
        fail("`npm ci` for %s failed (%d); it needs the registry of npm:\n%s" % (
            repository_ctx.attr.package_lock,
            result.return_code,
            result.stderr,
        ))
    repository_ctx.file("BUILD.bazel", _BUILD, executable = False)

npm_install = repository_rule(
    implementation = _npm_install_impl,
    doc = "Installs what a lock file names, without running its scripts.",
    attrs = {
        "package_json": attr.label(mandatory = True, allow_single_file = True),
        "package_lock": attr.label(mandatory = True, allow_single_file = True),
    },
)
