"""The public release's own partition, reproduced: rows are shuffled and cut, whatever they show.

It leaks by design (an image listed once for each box stands on several sides; a patient's records too) and
exists to compare with the published numbers, never as a default.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from fedmeki_bench.data._split import Assignment, Partition

__all__ = ["released"]

SEED = 42
"""The release's seed, for both of its shuffles."""

FIRST_CUT, SECOND_CUT, DEVELOPMENT_SHARE = 0.8, 0.9, 1 / 8
"""The release cuts at int(0.8 n) and int(0.9 n), then takes one eighth of the first block for development."""


def released(rows: Sequence[str | None], present: Collection[str]) -> Partition:
    """Shuffle all rows of a table, cut, drop the rows that are no item, then halve off the development part.

    On the RSNA label files this gives 12,880 / 1,849 / 1,841 / 1,836 items, and the test images of the
    released prediction log in their order.

    Args:
        rows: the table in file order: item ids, None for rows that are no item.
        present: ids of the items whose files are there; the others are dropped after the cuts.
    """
    from sklearn.model_selection import train_test_split

    order = list(rows)
    random.Random(SEED).shuffle(order)
    first, second = int(len(order) * FIRST_CUT), int(len(order) * SECOND_CUT)
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
