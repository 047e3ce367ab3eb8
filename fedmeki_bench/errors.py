"""The errors this project raises on purpose: each says what, where, expected, found, and what to do.

The command line prints them as one message without a traceback and exits with their code. Anything else that
escapes is a defect of ours and is shown with its traceback.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["BenchError", "CheckFailed", "Fault", "FaultsError", "UsageError", "did_you_mean"]


class BenchError(Exception):
    """Something the user can act on went wrong; the command line exits with code 1.

    Args:
        what: one sentence saying what is wrong.
        where: file, line, field or record the sentence is about.
        expected: what a correct input would have held.
        found: what was there instead.
        fix: what the user can do about it.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: object | None = None,
        expected: object | None = None,
        found: object | None = None,
        fix: str | None = None,
    ) -> None:
        self.what, self.where, self.expected, self.found, self.fix = what, where, expected, found, fix
        super().__init__(self.render())

    def render(self) -> str:
        """The message as printed: the sentence, then one labelled line for each detail given."""
        details = {"where": self.where, "expected": self.expected, "found": self.found, "to do": self.fix}
        return "\n".join(
            [self.what, *(f"  {name}: {value}" for name, value in details.items() if value is not None)]
        )


class UsageError(BenchError):
    """The request itself is wrong (an unknown name, a bad option, a bad spec); exit code 2."""

    exit_code = 2


class CheckFailed(BenchError):
    """A check ran to its end and found the data unfit (a leak, a bad submission); exit code 3."""

    exit_code = 3


@dataclass(frozen=True, order=True)
class Fault:
    """One fault among several that are reported together.

    Attributes:
        where: the file, with a line number where there is one (`file.jsonl:12`).
        field: the field, column or record concerned; empty if the whole file is.
        expected: what should have been there.
        found: what was there.
        fix: what to do, if it is not plain from `expected`.
    """

    where: str
    field: str
    expected: str
    found: str
    fix: str = ""

    def render(self) -> str:
        """One line: where, field, expected, found, what to do."""
        place = f"{self.where}: {self.field}" if self.field else self.where
        line = f"{place}: expected {self.expected}; found {self.found}"
        return f"{line}; {self.fix}" if self.fix else line


class FaultsError(BenchError):
    """Every fault of an input, reported at once so that they can all be mended in one go.

    Args:
        what: one sentence naming the input.
        faults: at least one fault; printed sorted by place.
        exit_code: 2 for a wrong spec or request (default), 3 for a failed check.
    """

    def __init__(self, what: str, faults: Iterable[Fault], *, exit_code: int = 2) -> None:
        self.faults: Sequence[Fault] = sorted(faults, key=_place)
        self.exit_code = exit_code
        super().__init__("\n".join([what, *(f"  {fault.render()}" for fault in self.faults)]))


def _place(fault: Fault) -> tuple[list[str | int], Fault]:
    # Line 9 comes before line 10: numbers within a place are compared as numbers.
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", fault.where)], fault


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the close matches, or the whole list of known names."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"known names: {', '.join(names) or 'none'}"
