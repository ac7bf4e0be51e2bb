"""What a workspace has to declare to use Portreeve; see examples/cpp."""

def _own_folder_impl(repository_ctx):
    root = repository_ctx.path(Label("//:WORKSPACE")).dirname
    for name in repository_ctx.attr.folder.split("/"):
        root = root.get_child(name)
    for entry in root.readdir():
        repository_ctx.symlink(entry, entry.basename)

# A folder of this repository that is a repository of its own, wherever this one
# lies: a local_repository could not name it from another workspace.
_own_folder = repository_rule(
    implementation = _own_folder_impl,
    attrs = {"folder": attr.string(mandatory = True)},
    local = True,
)

def _declare(rule, name, **kwargs):
    if name not in native.existing_rules():
        rule(name = name, **kwargs)

def portreeve_repositories():
    """Declares what is not declared already.  Nothing comes from the network.

    The libraries themselves (Boost, gRPC, Abseil ...) are those of Debian's -dev
    packages in /usr/include; ./bazelw lists and installs the packages.
    """

    # Debian's Bazel carries these rule sets; naming them here keeps Bazel from
    # looking for them on the network.
    for name, path in [
        ("rules_java", "/usr/share/bazel/rules/java"),
        ("rules_proto", "/usr/share/bazel/rules/proto"),
        ("bazel_skylib", "/usr/share/bazel/tools/skylib"),
        ("platforms", "/usr/share/bazel/tools/platforms"),
    ]:
        _declare(native.local_repository, name, path = path)

    # Debian's rules_cc does not load in Bazel 4.2.3: this one hands out the
    # native rules.
    _declare(_own_folder, "rules_cc", folder = "third_party/rules_cc")

    # Bazel analyses no cc_test without this repository; it is only used for
    # `bazel coverage`.
    _declare(
        _own_folder,
        "remote_coverage_tools",
        folder = "third_party/remote_coverage_tools",
    )
