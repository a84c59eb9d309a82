"""`$(name arguments)` in text, to substitutions."""

from __future__ import annotations

from typing import Any

from ..substitution import Substitution
from .expose import substitution_parse_methods

QUOTES = "\"'"
TRIPLE_ESCAPED = ["\\\\\\" + quote for quote in QUOTES]
ESCAPED = "\\$() " + QUOTES


class _Reader:
    """Reads substitutions from a text by recursive descent."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def fail(self, reason: str) -> ValueError:
        return ValueError(f"expected text with substitutions like '$(env HOME)', got '{self.text}': {reason}")

    def ahead(self, prefix: str) -> bool:
        return self.text.startswith(prefix, self.position)

    def at_end(self) -> bool:
        return self.position >= len(self.text)

    def parts(
        self, *, stop: str = "", closing: str = "", escaped: str = "", quoted: bool = False
    ) -> list[Substitution]:
        """Text and nested substitutions, up to a `stop` character or to the `closing` quote.

        A backslash takes a character of `escaped` literally; `quoted` is true within quotes, where further quotes are
        text.
        """
        from ..substitutions.text_substitution import TextSubstitution

        found: list[Substitution] = []
        text = ""
        while not self.at_end() and self.text[self.position] not in stop and not (closing and self.ahead(closing)):
            if self.ahead("$("):
                if text:
                    found.append(TextSubstitution(text=text))
                    text = ""
                found.append(self.substitution(quoted or bool(closing)))
                continue
            if escaped and self.text[self.position] == "\\":
                # Within quotes that are escaped themselves, a quote has three backslashes.
                slashes = 3 if self.text[self.position : self.position + 4] in TRIPLE_ESCAPED else 1
                if self.text[self.position + slashes : self.position + slashes + 1] in tuple(escaped):
                    self.position += slashes
            text += self.text[self.position]
            self.position += 1
        if text or not found:
            found.append(TextSubstitution(text=text))
        return found

    def spaces(self) -> None:
        while not self.at_end() and self.text[self.position].isspace():
            self.position += 1

    def substitution(self, quoted: bool) -> Substitution:
        """One `$(name argument ...)`, the position being at its dollar sign."""
        self.position += 2
        self.spaces()
        start = self.position
        while not self.at_end() and (self.text[self.position].isalnum() or self.text[self.position] in "_-"):
            self.position += 1
        name = self.text[start : self.position]
        if not name:
            raise self.fail(f"no name of a substitution at column {start + 1}")
        arguments: list[list[Substitution]] = []
        self.spaces()
        while not self.ahead(")"):
            if self.at_end():
                raise self.fail(f"'$({name}' is not closed")
            arguments.append(self.argument(quoted))
            self.spaces()
        self.position += 1
        return make_substitution(name, arguments)

    def argument(self, quoted: bool) -> list[Substitution]:
        """A bare word, or text in quotes (which may be escaped, where the whole is quoted already)."""
        start = self.position + (1 if self.ahead("\\") else 0)
        if not quoted and self.text[start : start + 1] in tuple(QUOTES):
            closing = self.text[self.position : start + 1]
            self.position = start + 1
            parts = self.parts(closing=closing, escaped=ESCAPED)
            if not self.ahead(closing):
                raise self.fail(f"the quote {closing} is not closed")
            self.position += len(closing)
            return parts
        return self.parts(stop=" \t\n)", escaped=ESCAPED, quoted=quoted)


def make_substitution(name: str, arguments: list[list[Substitution]]) -> Substitution:
    """The substitution that is exposed under the name."""
    from .. import substitutions  # noqa: F401  (exposes the built-in ones)

    if name not in substitution_parse_methods:
        known = ", ".join(sorted(substitution_parse_methods))
        raise RuntimeError(f"Unknown substitution: {name}; expected one of {known}")
    made = substitution_parse_methods[name](arguments)
    if len(made) == 3:
        cls, positional, keywords = made
        return cls(*positional, **keywords)
    cls, keywords = made
    return cls(**keywords)


def parse_substitution(string_value: str) -> list[Substitution]:
    """Text with `$(...)` in it, as the list of its parts."""
    return _Reader(string_value).parts(escaped="\\$()" if "$(" in string_value else "")


def parse_if_substitutions(value: Any) -> Any:
    """Like `parse_substitution` for what contains one, also within a list; anything else stays as it is."""
    from ..utilities.type_utils import normalize_typed_substitution

    if isinstance(value, str):
        return parse_substitution(value) if "$(" in value else value
    if isinstance(value, list):
        parts = [parse_substitution(v) if isinstance(v, str) and "$(" in v else v for v in value]
        try:
            return normalize_typed_substitution(parts, None)
        except TypeError as error:
            raise ValueError(str(error)) from error
    return value
