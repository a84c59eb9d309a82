"""Value of a Python expression."""

from __future__ import annotations

import builtins
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..frontend.expose import expose_substitution
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


@expose_substitution("eval")
class PythonExpression(Substitution):
    """Performs to str(eval(expression)); the names of the modules ('math' if not given) may be used bare.

    A launch file's own code is trusted; what a user passes as an argument becomes part of the expression.
    """

    def __init__(
        self, expression: SomeSubstitutionsType, python_modules: SomeSubstitutionsType | Sequence = ("math",)
    ) -> None:
        from ..utilities import normalize_to_list_of_substitutions

        self.__expression = normalize_to_list_of_substitutions(expression)
        self.__python_modules = normalize_to_list_of_substitutions(python_modules)

    @classmethod
    def parse(cls, data: Sequence[SomeSubstitutionsType]) -> tuple[type[PythonExpression], dict[str, Any]]:
        if not 1 <= len(data) <= 2:
            raise TypeError("eval substitution expects 1 or 2 arguments")
        kwargs: dict[str, Any] = {"expression": data[0]}
        if len(data) == 2:
            # A single text with the names of the modules, separated by commas.
            names = "".join(part.perform(None) for part in data[1])  # type: ignore[union-attr,arg-type]
            kwargs["python_modules"] = [name.strip() for name in names.split(",") if name.strip()]
        return cls, kwargs

    @property
    def expression(self) -> list[Substitution]:
        return self.__expression

    @property
    def python_modules(self) -> list[Substitution]:
        return self.__python_modules

    def describe(self) -> str:
        expression = " + ".join(sub.describe() for sub in self.expression)
        return "PythonExpr({}, [{}])".format(expression, ", ".join(sub.describe() for sub in self.python_modules))

    def perform(self, context: LaunchContext) -> str:
        from ..utilities import perform_substitutions

        names: dict[str, Any] = {}
        for substitution in self.python_modules:
            module = importlib.import_module(perform_substitutions(context, [substitution]))
            names.update(vars(module))
            names[module.__name__] = module
        names["__builtins__"] = builtins
        return str(eval(perform_substitutions(context, self.expression), names))  # noqa: S307
