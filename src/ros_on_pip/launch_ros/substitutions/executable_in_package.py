"""Path of a package's executable."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from launch.frontend import expose_substitution
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitution import Substitution
from launch.substitutions.substitution_failure import SubstitutionFailure
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

from .find_package import FindPackagePrefix

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext


@expose_substitution("exec-in-pkg")
class ExecutableInPackage(FindPackagePrefix):
    """Performs to the path of the executable in lib/<package>."""

    def __init__(self, executable: SomeSubstitutionsType, package: SomeSubstitutionsType) -> None:
        super().__init__(package)
        self.__executable = normalize_to_list_of_substitutions(executable)

    @classmethod
    def parse(cls, data: Sequence[SomeSubstitutionsType]) -> tuple[type[ExecutableInPackage], dict[str, Any]]:
        if len(data) != 2:
            raise AttributeError("exec-in-pkg substitution expects 2 arguments")
        return cls, {"executable": data[0], "package": data[1]}

    @property
    def executable(self) -> list[Substitution]:
        return self.__executable

    def describe(self) -> str:
        package = " + ".join(sub.describe() for sub in self.package)
        return f"ExecInPkg(pkg={package}, exec={' + '.join(sub.describe() for sub in self.executable)})"

    def perform(self, context: LaunchContext) -> str:
        executable = perform_substitutions(context, self.executable)
        package = perform_substitutions(context, self.package)
        folder = os.path.join(super().perform(context), "lib", package)
        if not os.path.isdir(folder):
            raise SubstitutionFailure(f"package '{package}' found, but libexec directory '{folder}' does not exist")
        paths = [
            os.path.join(root, executable)
            for root, _, files in os.walk(folder)
            if executable in files and os.access(os.path.join(root, executable), os.X_OK)
        ]
        if not paths:
            known = sorted(
                n for r, _, names in os.walk(folder) for n in names if os.access(os.path.join(r, n), os.X_OK)
            )
            raise SubstitutionFailure(
                f"executable '{executable}' not found on the libexec directory '{folder}'; there is {', '.join(known)}"
            )
        if len(paths) > 1:
            raise SubstitutionFailure(f"executable '{executable}' found more than once: {', '.join(sorted(paths))}")
        return paths[0]
