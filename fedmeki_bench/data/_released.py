"""The public release's own partition, reproduced: rows are shuffled and cut, whatever they show.

It leaks by design (an image listed once for each box stands on several sides; a patient's records too) and
exists to compare with the published numbers, never as a default.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence

from fedmeki_bench.data._split import Assignment, Partition

__all__ = ["CUTS", "released"]

SEED = 42
"""The release's seed, for both of its shuffles."""

CUTS: Mapping[str, Callable[[int], tuple[int, int]]] = {
    "rsna_pneumonia": lambda n: (int(n * 0.8), int(n * 0.9)),
    "ptb_xl": lambda n: (int(n * 0.8), int(n * 0.8) + int(n * 0.1)),
}
"""Where the release cuts a source's n rows into a first, a public and a test block. The two formulas differ
by one row; each is confirmed by the order of the test items in the released prediction logs."""

DEVELOPMENT_SHARE = 1 / 8
"""Share of the first block that becomes the development part; the rest is private."""


def released(source: str, rows: Sequence[str | None], present: Collection[str]) -> Partition:
    """Shuffle all rows of a table, cut, drop the rows that are no item, then split off the development part.

    On the RSNA label files this gives 12,880 / 1,849 / 1,841 / 1,836 items, and the test images of the
    released prediction log in their order; on PTB-XL 1.0.3 it gives 15,259 / 2,179 / 2,180 / 2,181.

    Args:
        source: one of `CUTS`.
        rows: the table in file order: item ids, None for rows that are no item.
        present: ids of the items whose files are there; the others are dropped after the cuts.
    """
    from sklearn.model_selection import train_test_split

    order = list(rows)
    random.Random(SEED).shuffle(order)
    first, second = CUTS[source](len(order))
    cuts = (order[:first], order[first:second], order[second:])
    block, public, test = ([name for name in cut if name is not None] for cut in cuts)
    private, development = train_test_split(block, test_size=DEVELOPMENT_SHARE, random_state=SEED)
    sides: dict[Assignment, list[str]] = {
        "private": private,
        "public": public,
        "development": development,
        "test": test,
    }
    parts = {name: part for part, names in sides.items() for name in names if name in present}
    return Partition(parts, {})
