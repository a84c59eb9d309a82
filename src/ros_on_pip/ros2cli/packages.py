"""Packages of the ament index: their files and executables."""

import difflib
import os

from ament_index_python.packages import PackageNotFoundError, get_package_prefix, get_packages_with_prefixes

from ros2cli.errors import CommandError


def package_prefix(package: str) -> str:
    """Prefix that a package is installed in; CommandError with the nearest known name if there is none."""
    try:
        return get_package_prefix(package)
    except (PackageNotFoundError, ValueError) as error:
        near = difflib.get_close_matches(package, get_packages_with_prefixes(), n=1)
        hint = f"; did you mean '{near[0]}'?" if near else "; is the workspace built and sourced?"
        raise CommandError(f"Package '{package}' not found{hint}") from error


def find_below(folder: str, name: str) -> list[str]:
    """Paths of the files of that name in a folder and below it."""
    return sorted(os.path.join(root, name) for root, _, files in os.walk(folder) if name in files)


def only_one(paths: list[str], name: str, what: str) -> str:
    if len(paths) > 1:
        raise CommandError(f"expected one {what} '{name}', found {len(paths)}: {', '.join(paths)}")
    return paths[0]


def launch_file_path(package: str, file_name: str) -> str:
    """Path of a launch file in the share folder of a package."""
    share = os.path.join(package_prefix(package), "share", package)
    paths = find_below(share, file_name)
    if not paths:
        launch_files = sorted(
            name for _, _, files in os.walk(share) for name in files if name.endswith((".launch.py", "_launch.py"))
        )
        there = f"; there is {', '.join(launch_files)}" if launch_files else "; the package has no launch files"
        raise CommandError(f"file '{file_name}' was not found in the share directory of package '{package}'{there}")
    return only_one(paths, file_name, "launch file")


def executable_path(package: str, name: str) -> str:
    """Path of an executable in lib/<package>."""
    folder = os.path.join(package_prefix(package), "lib", package)
    paths = [path for path in find_below(folder, name) if os.access(path, os.X_OK)]
    if not paths:
        known = executable_names(folder)
        near = difflib.get_close_matches(name, known, n=1)
        there = f"; there is {', '.join(known)}" if known else f"; there is nothing executable in {folder}"
        hint = f"; did you mean '{near[0]}'?" if near else there
        raise CommandError(f"No executable '{name}' in package '{package}'{hint}")
    return only_one(paths, name, "executable")


def executable_names(folder: str) -> list[str]:
    return sorted(
        name for root, _, files in os.walk(folder) for name in files if os.access(os.path.join(root, name), os.X_OK)
    )
