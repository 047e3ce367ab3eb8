"""What a run tells about itself: one stream of events, shown to a person, as JSON lines, or kept quiet.

Whatever is shown, every event also goes to the run's `events.jsonl`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, Protocol

__all__ = ["Display", "Events", "open_display"]

Style = Literal["auto", "plain", "json", "quiet"]


class Display(Protocol):
    """Shows events; `total` and `done` count the stage's steps, `fields` hold round, client, loss and the like."""

    def event(self, stage: str, done: int, total: int, fields: Mapping[str, Any]) -> None:
        """One step of a stage was done."""

    def note(self, text: str) -> None:
        """A sentence for the person watching."""

    def close(self) -> None:
        """No more events."""


class _Quiet:
    def event(self, stage: str, done: int, total: int, fields: Mapping[str, Any]) -> None:
        """Nothing is shown."""

    def note(self, text: str) -> None:
        """Nothing is shown."""

    def close(self) -> None:
        """Nothing to close."""


class _JsonLines(_Quiet):
    def event(self, stage: str, done: int, total: int, fields: Mapping[str, Any]) -> None:
        print(
            json.dumps({"stage": stage, "done": done, "total": total, **fields}), file=sys.stderr, flush=True
        )

    def note(self, text: str) -> None:
        print(json.dumps({"note": text}), file=sys.stderr, flush=True)


class _Plain(_Quiet):
    """A line whenever a stage is a tenth further, for logs and terminals that cannot redraw."""

    def __init__(self) -> None:
        self._tenth: dict[str, int] = {}
        self._began: dict[str, float] = {}
        self._previous = time.monotonic()

    def event(self, stage: str, done: int, total: int, fields: Mapping[str, Any]) -> None:
        tenth = done * 10 // max(total, 1)
        if tenth < self._tenth.get(stage, 11):
            # A stage that starts, or starts again in the next round: its time runs from the event before.
            self._began[stage] = self._previous
            self._tenth[stage] = -1
        self._previous = now = time.monotonic()
        if tenth == self._tenth[stage] and done != total:
            return
        self._tenth[stage] = tenth
        left = (now - self._began[stage]) / done * (total - done) if done else 0.0
        print(f"{stage:<44} {done:>5}/{total:<5} {left:5.0f} s left  {_text(fields)}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class _Rich(_Quiet):
    """A bar a stage with its round, client, loss and time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            TextColumn("{task.description:<44}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            console=Console(stderr=True),
        )
        self._bars: dict[str, Any] = {}
        self._progress.start()

    def event(self, stage: str, done: int, total: int, fields: Mapping[str, Any]) -> None:
        if stage not in self._bars:
            self._bars[stage] = self._progress.add_task(stage, total=total, detail="")
        self._progress.update(self._bars[stage], completed=done, total=total, detail=_text(fields))

    def note(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        self._progress.stop()


def _text(fields: Mapping[str, Any]) -> str:
    shown = {
        name: f"{value:.4f}" if isinstance(value, float) else value
        for name, value in fields.items()
        if value is not None
    }
    return "  ".join(f"{name} {value}" for name, value in shown.items())


def open_display(style: Style) -> Display:
    """The display for a style; `auto` is bars on a terminal and plain lines elsewhere."""
    if style == "auto":
        style = "plain"
        if sys.stderr.isatty():
            return _Rich()
    return {"plain": _Plain, "json": _JsonLines, "quiet": _Quiet}[style]()


class Events:
    """The run's events: appended to a file, one JSON object a line, and handed to a display."""

    def __init__(self, path: Path, display: Display) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = path.open("a", encoding="utf-8")
        self._display = display
        self._started = time.monotonic()

    def step(self, stage: str, done: int, total: int, **fields: Any) -> None:
        """`done` of a stage's `total` steps are finished; fields such as round, client, loss say more."""
        seconds = round(time.monotonic() - self._started, 3)
        self._file.write(
            json.dumps({"seconds": seconds, "stage": stage, "done": done, "total": total, **fields}) + "\n"
        )
        self._file.flush()
        self._display.event(stage, done, total, fields)

    def note(self, text: str) -> None:
        """A sentence for the person watching, kept in the file too."""
        self._file.write(json.dumps({"note": text}, ensure_ascii=False) + "\n")
        self._file.flush()
        self._display.note(text)

    @classmethod
    @contextmanager
    def opened(cls, path: Path, display: Display) -> Iterator[Events]:
        """Events written to `path` until the block ends, however it ends."""
        events = cls(path, display)
        try:
            yield events
        finally:
            events._file.close()
