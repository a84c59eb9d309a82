"""ROS namespaces."""

from __future__ import annotations


def is_namespace_absolute(ns: str) -> bool:
    return ns.startswith("/")


def is_root_namespace(ns: str) -> bool:
    return ns == "/"


def make_namespace_absolute(ns: str | None) -> str | None:
    """With a leading slash; None stays None."""
    if ns is None:
        return None
    return ns if is_namespace_absolute(ns) else "/" + ns


def prefix_namespace(base_ns: str | None, ns: str | None, return_absolute_ns: bool = True) -> str | None:
    """`ns` within `base_ns`, without trailing slashes; an absolute `ns` stands alone, None and None is None."""
    if base_ns is None and ns is None:
        return None
    if ns is not None and is_namespace_absolute(ns):
        combined = ns
    else:
        combined = "/".join(part for part in ((base_ns or "").rstrip("/"), ns) if part)
        if base_ns is not None and is_namespace_absolute(base_ns):
            combined = "/" + combined.lstrip("/")
    if not is_root_namespace(combined):
        combined = combined.rstrip("/")
    return make_namespace_absolute(combined) if return_absolute_ns else combined
