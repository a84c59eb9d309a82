"""Where configuration files are."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory


def config_file(name: str) -> Path:
    """Path of a configuration file: as given when absolute, else below the package's share/insertion_vla/config.

    Raises:
        ValueError: there is no such file.
    """
    given = Path(name).expanduser()
    path = given if given.is_absolute() else Path(get_package_share_directory("insertion_vla")) / "config" / given
    if not path.is_file():
        raise ValueError(f"expected a configuration file at {path}, found none: name an existing file")
    return path
