"""Types of the parameters that nodes take."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitution import Substitution

from .parameter_descriptions import Parameter, ParameterFile, ParameterValue

SomeParameterFile = SomeSubstitutionsType | os.PathLike
SomeParameterName = Sequence[Substitution | str] | str | Substitution
SomeParameterValue = (
    ParameterValue | SomeSubstitutionsType | Sequence[Any] | int | float | bool | bytes | Mapping[str, Any]
)
SomeParametersDict = Mapping[Any, Any]
SomeParameters = Sequence[SomeParameterFile | Parameter | ParameterFile | SomeParametersDict]

ParameterName = tuple[Substitution, ...]
# A value whose text is performed and read as YAML, several of them, plain values, or a typed description.
EvaluatedParameterValue = str | int | float | bool | bytes | Sequence[Any]
EvaluatedParameters = Sequence[Any]
ParametersDict = dict[ParameterName, Any]
Parameters = Sequence[ParameterFile | Parameter | ParametersDict]
