"""Log a message."""

from __future__ import annotations

import logging as python_logging
from typing import TYPE_CHECKING, Any

from .. import logging
from ..action import Action
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class LogInfo(Action):
    """Logs the message, performed, at level INFO by the logger `launch.user`."""

    level = python_logging.INFO

    def __init__(self, *, msg: SomeSubstitutionsType, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.__msg = normalize_to_list_of_substitutions(msg)

    @property
    def msg(self) -> list[Substitution]:
        return self.__msg

    def execute(self, context: LaunchContext) -> None:
        logging.get_logger("launch.user").log(self.level, perform_substitutions(context, self.msg))
