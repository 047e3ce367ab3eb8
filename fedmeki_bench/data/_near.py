"""Near-duplicate images by perceptual hash (`imagehash.phash`, 256 bits)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedmeki_bench.data._index import TaskIndex
from fedmeki_bench.data._store import PreparedTask
from fedmeki_bench.sources import Array

__all__ = ["NEAR_BITS", "near_duplicates"]

HASH_SIDE = 16
"""Side of the hash: 16 x 16 bits. The usual 8 x 8 confuses different chest X-rays, which all look alike to
it."""

NEAR_BITS = 24
"""Images whose hashes differ in at most this many of 256 bits are near-duplicates. Among 679 real radiographs
two, even of one patient, differ in 58 bits or more; a re-encoded or slightly brightened copy in a few."""

BLOCK = 512
"""Rows compared at a time, which bounds the memory."""


def near_duplicates(
    known: Mapping[str, TaskIndex], names: Sequence[str], progress: Callable[[str, int, int], None]
) -> Mapping[str, frozenset[str]]:
    """For each image record (`<source>/<key>`) the other records whose hash nearly agrees; absent if none.

    Args:
        store: the prepared store.
        names: if none of these tasks has images, nothing is hashed; else the images of every task in the
            store are.
        progress: told of images hashed.
    """
    if not any("image" in known[name].details["modalities"] for name in names):
        return {}
    wanted: dict[str, tuple[PreparedTask, int]] = {}
    for task in known.values():
        if isinstance(task, PreparedTask) and "image" in task.details["modalities"]:
            rows = [row for part in task.counts if part != "unused" for row in task.rows(part)]
            for key, row in zip(task.records(rows), rows, strict=True):
                wanted.setdefault(f"{task.details['record_source']}/{key}", (task, row))
    keys = sorted(wanted)
    hashes = np.empty((len(keys), HASH_SIDE * HASH_SIDE // 64), dtype=np.uint64)
    for number, key in enumerate(keys):
        task, row = wanted[key]
        hashes[number] = _phash(task.inputs([row])[0].modalities["image"])
        progress("images hashed", number + 1, len(keys))
    near: dict[str, set[str]] = defaultdict(set)
    for one, other in _close_pairs(hashes):
        near[keys[one]].add(keys[other])
        near[keys[other]].add(keys[one])
    return {key: frozenset(others) for key, others in near.items()}


def _phash(image: Array) -> NDArray[np.uint64]:
    """The perceptual hash as 64-bit words."""
    import imagehash
    from PIL import Image

    bits = imagehash.phash(Image.fromarray(image).convert("L"), hash_size=HASH_SIDE).hash
    return np.packbits(bits.ravel()).view(np.uint64)


def _close_pairs(hashes: NDArray[np.uint64]) -> list[tuple[int, int]]:
    """Index pairs (smaller first) at most `NEAR_BITS` apart."""
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(hashes), BLOCK):
        rest = hashes[start:]
        distance = np.zeros((min(BLOCK, len(rest)), len(rest)), dtype=np.uint16)
        for word in range(hashes.shape[1]):
            distance += np.bitwise_count(rest[:BLOCK, None, word] ^ rest[None, :, word])
        ones, others = np.nonzero(distance <= NEAR_BITS)
        pairs += [(start + int(a), start + int(b)) for a, b in zip(ones, others, strict=True) if a < b]
    return pairs
