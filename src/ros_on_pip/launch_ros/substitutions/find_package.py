"""Where a package is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ament_index_python.packages import get_package_prefix, get_package_share_directory
from launch.frontend import expose_substitution
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitution import PathSubstitutionMixin, Substitution
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext


class FindPackage(PathSubstitutionMixin, Substitution):
    """Performs to a folder of the package; PackageNotFoundError if there is no such package."""

    def __init__(self, package: SomeSubstitutionsType) -> None:
        self.__package = normalize_to_list_of_substitutions(package)

    @classmethod
    def parse(cls, data: Sequence[SomeSubstitutionsType]) -> tuple[type[FindPackage], dict[str, Any]]:
        if len(data) != 1:
            raise AttributeError("find package substitutions expect 1 argument")
        return cls, {"package": data[0]}

    @property
    def package(self) -> list[Substitution]:
        return self.__package

    def describe(self) -> str:
        return "{}({})".format(type(self).__name__, " + ".join(sub.describe() for sub in self.package))

    def find(self, package_name: str) -> str:
        raise NotImplementedError

    def perform(self, context: LaunchContext) -> str:
        return self.find(perform_substitutions(context, self.package))


@expose_substitution("find-pkg-prefix")
class FindPackagePrefix(FindPackage):
    """Performs to the prefix of the package."""

    def find(self, package_name: str) -> str:
        return get_package_prefix(package_name)


@expose_substitution("find-pkg-share")
class FindPackageShare(FindPackage):
    """Performs to the share folder of the package."""

    def find(self, package_name: str) -> str:
        return get_package_share_directory(package_name)
