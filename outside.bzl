"""What other workspaces may depend on."""

def visible_outside(inside):
    """The visibility of a target that other workspaces may use, too.

    Args:
      inside: the packages of this repository that may; as in `visibility`.

    Returns:
      `inside` in this repository, where an arrow that runs up is to be refused
      as ever; everybody where it is an external repository.
    """
    return inside if native.repository_name() == "@" else ["//visibility:public"]
