"""Progress of a long step: a bar on a terminal, a line every two seconds where stderr is a file or a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import TypeVar

from tqdm import tqdm

LINE_EVERY_S = 2.0
T = TypeVar("T")


class Progress:
    """Counts up to `total`; use it as a context.

    Args:
        title: what is being done, one or two words.
        total: how many, None if not known.
        unit: of what, singular.
    """

    def __init__(self, title: str, total: int | None = None, unit: str = "item") -> None:
        self.count = 0
        self._title, self._total, self._unit = title, total, unit
        self._start_s = time.monotonic()
        self._next_line_s = self._start_s + LINE_EVERY_S
        self._said = -1
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, desc=title, unit=f" {unit}", dynamic_ncols=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self.count != self._said:
            self._line()

    def advance(self, count: int = 1) -> None:
        """So many more are done; 0 only lets time show."""
        self.count += count
        if self._bar is not None:
            self._bar.update(count)
        elif time.monotonic() >= self._next_line_s:
            self._line()

    def say(self, text: str) -> None:
        """A line on stderr that does not break the bar."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)

    def _line(self) -> None:
        now_s = time.monotonic()
        of = f"/{self._total}" if self._total is not None else ""
        elapsed_s = now_s - self._start_s
        print(f"{self._title}: {self.count}{of} {self._unit}, {elapsed_s:.0f} s", file=sys.stderr, flush=True)
        self._next_line_s, self._said = now_s + LINE_EVERY_S, self.count


def progress_over(items: Iterable[T], title: str, total: int | None = None, unit: str = "item") -> Iterator[T]:
    """The items one by one, counted when the next is asked for."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with Progress(title, total, unit) as progress:
        for item in items:
            yield item
            progress.advance()
