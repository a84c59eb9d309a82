"""Set parameters of all nodes that follow, from a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from launch.action import Action
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

from ..parameter_descriptions import ParameterFile

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext


class SetParametersFromFile(Action):
    """Gives a parameter file to the nodes that follow, until the scope ends; a node's own parameters win."""

    def __init__(self, filename: SomeSubstitutionsType | ParameterFile, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._input_file = (
            filename if isinstance(filename, ParameterFile) else normalize_to_list_of_substitutions(filename)
        )

    def execute(self, context: LaunchContext) -> None:
        if isinstance(self._input_file, ParameterFile):
            path = os.fspath(self._input_file.evaluate(context))
        else:
            path = perform_substitutions(context, self._input_file)
        former = context.launch_configurations.get("global_params", [])
        context.launch_configurations["global_params"] = [*former, path]
