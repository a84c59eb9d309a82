"""Descriptions of what nodes are started with."""

from typing import Any

from ..parameter_descriptions import Parameter, ParameterFile, ParameterValue
from ..unsupported import refuse

__all__ = ["Parameter", "ParameterFile", "ParameterValue"]


def __getattr__(name: str) -> Any:
    raise refuse(__name__, name)
