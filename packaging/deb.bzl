"""A package for Debian."""

def _deb_impl(ctx):
    out = ctx.actions.declare_file("%s%s_%s_%s.deb" % (
        ctx.attr.folder,
        ctx.attr.package,
        ctx.attr.version,
        ctx.attr.architecture,
    ))
    control = [f for f in ctx.files.control if f.basename == "control"]
    if len(control) != 1:
        fail("control has to have one file of this name")
    arguments = ctx.actions.args()
    arguments.add_all([
        out.path,
        ctx.attr.version,
        ctx.attr.architecture,
        control[0].path,
    ])
    files = []
    for target, destination in ctx.attr.files.items():
        (file,) = target.files.to_list()
        files.append(file)
        arguments.add("%s=%s" % (destination, file.path))
    arguments.add_all(ctx.attr.empty_folders, format_each = "%s=")
    ctx.actions.run(
        outputs = [out],
        inputs = files + ctx.files.control,
        executable = ctx.executable._make_deb,
        arguments = [arguments],
        mnemonic = "MakeDeb",
        # dpkg and binutils are the system's.
        use_default_shell_env = True,
    )
    return [DefaultInfo(
        files = depset([out]),
        runfiles = ctx.runfiles([out]),
    )]

deb = rule(
    implementation = _deb_impl,
    doc = "FOLDER/PACKAGE_VERSION_ARCHITECTURE.deb, by packaging/make_deb.sh.",
    attrs = {
        "package": attr.string(mandatory = True),
        "version": attr.string(mandatory = True),
        "architecture": attr.string(mandatory = True),
        "folder": attr.string(),
        "files": attr.label_keyed_string_dict(allow_files = True),
        "empty_folders": attr.string_list(),
        "control": attr.label_list(allow_files = True),
        "_make_deb": attr.label(
            default = "//packaging:make_deb.sh",
            allow_single_file = True,
            executable = True,
            cfg = "exec",
        ),
    },
)

_MODE = "//command_line_option:compilation_mode"

def _opt_impl(_settings, _attr):
    return {_MODE: "opt"}

_opt = transition(
    implementation = _opt_impl,
    inputs = [],
    outputs = [_MODE],
)

def _optimized_impl(ctx):
    outs = []
    for file in ctx.files.srcs:
        out = ctx.actions.declare_file(file.basename)
        ctx.actions.symlink(output = out, target_file = file)
        outs.append(out)
    return [DefaultInfo(files = depset(outs))]

optimized = rule(
    implementation = _optimized_impl,
    doc = "The files of targets as `-c opt` makes them, whatever the command line says.",
    attrs = {
        "srcs": attr.label_list(cfg = _opt),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
)
