"""The faults a bundle can have: each kind has a code that never changes its meaning, and says what to do.

Everything shown here may have been written by someone hostile: it is made harmless before it reaches a
terminal (no control or bidirectional characters) and cut to a readable length. Nothing is interpreted.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass, field

from fedmeki_bench.errors import Fault

__all__ = ["FIXES", "BundleFault", "FaultLog", "harmless"]

FIXES: dict[str, str] = {
    # The container: folder or zip.
    "FB001": "give a folder, or a zip file of one, as made by `fedmeki-bench submit`",
    "FB002": "use the plain relative paths that `fedmeki-bench submit` writes",
    "FB003": "put the file itself in the bundle, not a link, device or pipe",
    "FB004": "keep one file of that name",
    "FB005": "leave out everything but the bundle's own files",
    "FB006": "leave out what does not belong; a prediction file holds one short line an item",
    "FB007": "leave out what does not belong, or submit fewer seeds",
    "FB008": "zip the bundle with an ordinary tool",
    "FB009": "zip the bundle again, unencrypted, stored or deflated",
    "FB010": "run `chmod -x` on it",
    "FB011": "delete it, or make the bundle again with `fedmeki-bench submit`",
    "FB012": "make the bundle again with `fedmeki-bench submit`",
    "FB013": "the file was changed after the bundle was made: make the bundle again from the run",
    "FB014": "make the bundle again with `fedmeki-bench submit`",
    # Text and JSON.
    "FB020": "save the file as UTF-8",
    "FB021": "save the file without a byte-order mark",
    "FB022": "save the file with LF line endings (git: set `* -text` for submissions/)",
    "FB023": "the file is cut short: copy it again from the run",
    "FB024": "delete the empty line",
    "FB025": "an answer is a few words; leave out what does not belong",
    "FB026": "write valid JSON",
    "FB027": "leave the score out where the method gives none; NaN and Infinity are not JSON",
    "FB028": "write each key once",
    # The manifest.
    "FB030": "update fedmeki-bench: the bundle was made by a newer version",
    "FB031": "make the bundle again with `fedmeki-bench submit`; schema versions start at 1",
    "FB032": "mend the field, or make the bundle again with `fedmeki-bench submit`",
    "FB033": "use the task ids of `fedmeki-bench tasks ls`",
    "FB034": "run again with the present version of the task",
    "FB035": "run again with the task specification that ships with fedmeki-bench, unchanged",
    "FB036": "run again on a store prepared from the original data with the present specification",
    "FB037": "run with pretrained weights; a randomly initialised foundation model is for tests only",
    "FB038": "make the bundle again from all runs at once",
    "FB039": "choose another name with `submit --method-name`",
    "FB040": "write names in visible characters, without control or direction marks",
    "FB041": "evaluate training tasks under single_task or multi_task, zero-shot tasks under zero_shot",
    "FB042": "make the bundle again from all runs at once, one run a seed",
    # Predictions.
    "FB050": "a prediction holds `id`, `answer` and perhaps `score`, nothing else",
    "FB051": "labels never leave the data: make the bundle again with `fedmeki-bench submit`",
    "FB052": "write the ids of the task's test items as text",
    "FB053": "answer each item once",
    "FB054": "sort the predictions by id, as `fedmeki-bench submit` does",
    "FB055": "answer the items of the task's test part and no others",
    "FB056": "answer every item of the task's test part",
    "FB057": "the score is the probability of the positive answer, 0 to 1",
    "FB058": "give a score for every item of the file or for none; text tasks have none",
    "FB059": "write the answer as text",
    "FB060": "no task has that many test items: check which file this is",
    "FB061": "answer every item of the task's test part",
    # Scores.
    "FB070": "make the bundle again with `fedmeki-bench submit`",
    "FB071": "predictions and evaluations go together: make the bundle again with `fedmeki-bench submit`",
    "FB072": "make the bundle again with `fedmeki-bench submit`",
    "FB073": "the printed score does not follow from the predictions: make the bundle again from the run",
    "FB074": "the printed interval does not follow from the predictions: make the bundle again from the run",
    "FB075": "score again with the present version of fedmeki-bench: `submit` the run again",
    "FB076": "score again with the present version of fedmeki-bench: `submit` the run again",
    "FB077": "make the bundle again from the run",
    "FB078": "scores are shares, not per cent",
    "FB079": "make the bundle again from the run",
    "FB080": "make the bundle again from the run",
    "FB081": "a run on part of the test items is no result: run again without `--limit`",
}
"""What to do, by code. FB00x container, 02x text and JSON, 03x manifest, 05x predictions, 07x scores."""

SHOWN_PER_KIND = 10
"""Faults of one code in one file that are listed; the rest are counted."""

SHOWN_LENGTH = 160
"""Characters of a found value that are shown."""


def harmless(text: object) -> str:
    """`text` on one line, control, format and surrogate characters as escapes, cut to a readable length."""
    shown = str(text)
    cut = shown[: SHOWN_LENGTH + 1]
    safe = "".join(
        char
        if char == " " or unicodedata.category(char)[0] not in "CZ"
        else char.encode("unicode_escape").decode("ascii")
        for char in cut
    )
    return safe if len(cut) <= SHOWN_LENGTH else safe[:SHOWN_LENGTH] + "…"


@dataclass(frozen=True, order=True)
class BundleFault(Fault):
    """A fault of a bundle with its code; `where` is the file inside it, with a line where there is one."""

    code: str = "FB001"

    def render(self) -> str:
        """One line: code, place, expected, found, what to do."""
        return f"{self.code} {super().render()}"


@dataclass
class FaultLog:
    """Gathers the faults of one bundle; of many of one kind in one file the first are listed, all counted."""

    faults: list[BundleFault] = field(default_factory=list)
    _seen: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(
        self,
        code: str,
        file: str,
        expected: object,
        found: object,
        *,
        field: str = "",
        line: int | None = None,
        fix: str = "",
    ) -> None:
        """Note a fault of kind `code` in `file` (at `line`, from 1); `fix` replaces the kind's own advice."""
        self._seen[code, file] += 1
        if self._seen[code, file] <= SHOWN_PER_KIND:
            where = harmless(file) if line is None else f"{harmless(file)}:{line}"
            self.faults.append(
                BundleFault(where, harmless(field), harmless(expected), harmless(found), fix or FIXES[code], code)
            )

    @property
    def count(self) -> int:
        """All faults found, listed or not."""
        return sum(self._seen.values())

    def sorted(self) -> list[BundleFault]:
        """Manifest first, then by file, line and code; the uncounted rest of a kind as one closing line."""
        rest = [
            BundleFault(harmless(file), "", "no more of these", f"{seen - SHOWN_PER_KIND} more", FIXES[code], code)
            for (code, file), seen in self._seen.items()
            if seen > SHOWN_PER_KIND
        ]
        return [*sorted(self.faults, key=_place), *sorted(rest)]


def _place(fault: BundleFault) -> tuple[bool, str, int, str, str]:
    file, _, line = fault.where.rpartition(":")
    name, number = (file, int(line)) if file and line.isdigit() else (fault.where, 0)
    return name != "manifest.json", name, number, fault.code, fault.field
