"""Settings files read strictly: every wrong entry is refused in a sentence that says what to do.

Unknown and repeated keys, wrong types and non-finite numbers are errors; an unknown key is answered with the nearest
known name.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError


class StrictModel(BaseModel):
    """Base of the models behind settings files: frozen, no unknown keys, no silent conversions, finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses repeated keys, of which YAML would silently keep the last."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for index, key in enumerate(keys):
        if key in keys[:index]:
            line = node.value[index][0].start_mark.line + 1
            raise yaml.YAMLError(f"line {line}: the key '{key}' stands there twice; keep one of them")
    return {key: loader.construct_object(value, deep=True) for key, (_, value) in zip(keys, node.value, strict=True)}


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load_strict(path: str | Path, model: type[Model], what: str) -> Model:
    """Read the YAML file at `path` into `model`.

    Args:
        path: the file.
        model: the pydantic model of its content.
        what: what the file describes, for messages ("a robot arm").

    Raises:
        ValueError: it cannot be read, is no YAML, or has wrong entries; all of them are named.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"expected {what} in the YAML file {path}, could not read it: {error}") from error
    return parse_strict(text, model, what, str(path))


def parse_strict(text: str, model: type[Model], what: str, place: str) -> Model:
    """Read YAML text into `model`.

    Args:
        text: the YAML.
        model: the pydantic model of its content.
        what: what the text describes, for messages ("a robot arm").
        place: where it stands, for messages.

    Raises:
        ValueError: it is no YAML or has wrong entries; all of them are named.
    """
    try:
        content = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"expected {what} in {place}, got no valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"expected {what} in {place} as keys and values, got {type(content).__name__}")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ValueError(f"{what} in {place}: " + "; ".join(sentences(error, model))) from None


def sentences(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One sentence for each problem that pydantic found in the entries of `model`."""
    result = []
    for problem in error.errors():
        path = problem["loc"]
        name = ".".join(str(part) for part in path)
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            result.append(_unknown(name, str(path[-1]), _known(model, path[:-1])))
        elif problem["type"] == "missing":
            result.append(f"'{name}' is missing; add it")
        elif problem["type"] == "value_error":
            result.append(f"'{name}': {message}" if name else message)
        else:
            hint = " (YAML reads 1e-3 as text: write 1.0e-3)" if isinstance(problem["input"], str) else ""
            result.append(f"'{name}': {message}, got {problem['input']!r}{hint}")
    return result


def _unknown(name: str, key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    advice = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
    return f"'{name}' is not a known entry; {advice}"


def _known(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Names of the entries at `path` inside `model`."""
    current: Any = model
    for part in path:
        if isinstance(part, str) and _is_model(current):
            if part not in current.model_fields:
                return []
            current = _inner(current.model_fields[part].annotation)
    return list(current.model_fields) if _is_model(current) else []


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _inner(annotation: Any) -> Any:
    """The model inside an annotation such as `tuple[Stream, ...]` or `Action | None`."""
    if _is_model(annotation):
        return annotation
    return next((found for found in map(_inner, get_args(annotation)) if _is_model(found)), None)
