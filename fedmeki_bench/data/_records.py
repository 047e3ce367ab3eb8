"""Decoded records on disk: Arrow files that `datasets` reads, cut into shards named by their content.

A shard's name is the hash of the raw files it was decoded from, so a shard that exists is a shard that is
done: prepare can be killed at any moment and goes on where it stood, and changed raw files give other
    shards. Arrays are stored as
plain little-endian bytes, one column a modality, which numpy views in place without a copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedmeki_bench.errors import BenchError
from fedmeki_bench.files import atomic_writer, content_hash, file_sha256, read_json, write_json
from fedmeki_bench.sources import SIDE, Array, Record, find_source
from fedmeki_bench.sources.ptb_xl import LEADS
from fedmeki_bench.sources.yaib import FEATURES
from fedmeki_bench.specs import Modality

__all__ = ["SHARD_RECORDS", "RecordReader", "Shard", "record_schema", "write_shard"]

SHARD_RECORDS = 128
"""Records a shard: small enough that a killed run loses seconds, large enough that files stay few."""

DECODER_VERSION = 1
"""Raised whenever an adapter decodes the same file to other values."""

CLINICAL = frozenset(FEATURES)


@dataclass(frozen=True)
class Shard:
    """One finished Arrow file of decoded records.

    Attributes:
        file: its name inside `records/<source>/`.
        records: keys of its records, in row order.
        corrupt: keys that could not be decoded, with the reason.
        reused: it was there already.
    """

    file: str
    records: tuple[str, ...]
    corrupt: Mapping[str, str]
    reused: bool = False


def record_schema(modalities: Sequence[Modality]) -> pa.Schema:
    """Columns of a shard: `key`, `content` (SHA-256 of the decoded arrays), one binary column a modality."""
    from datasets import Features, Value

    columns: dict[str, Value] = {
        "key": Value("string"),
        "content": Value("string"),
        **{name: Value("binary") for name in modalities},
    }
    return Features(columns).arrow_schema


def write_shard(source: str, folder: Path, records: Sequence[str], schema: pa.Schema, out: Path) -> Shard:
    """Decode the records into one shard in `out`, or find it there already.

    A corrupt record is left out of the shard and named in its `corrupt`; what to do about it is the caller's
    choice.
    """
    adapter = find_source(source)
    raw = [[key, [_raw_hash(file) for file in adapter.files(folder, key)]] for key in records]
    name = content_hash([DECODER_VERSION, source, schema.names, raw])[:32]
    # The manifest is written after the data: where it stands, the shard is whole.
    manifest = out / f"{name}.json"
    if manifest.is_file() and (out / f"{name}.arrow").is_file():
        known = read_json(manifest)
        return Shard(known["file"], tuple(known["records"]), known["corrupt"], reused=True)
    rows: list[dict[str, Any]] = []
    corrupt: dict[str, str] = {}
    for key in records:
        try:
            decoded = adapter.decode(folder, key)
        except BenchError as error:
            corrupt[key] = str(error)
            continue
        columns: dict[str, bytes] = {str(name): _to_bytes(array) for name, array in decoded.items()}
        rows.append({"key": key, "content": _array_hash(decoded), **columns})
    with atomic_writer(out / f"{name}.arrow") as handle, pa.ipc.new_stream(handle, schema) as stream:
        stream.write_table(pa.Table.from_pylist(rows, schema=schema))
    shard = Shard(f"{name}.arrow", tuple(row["key"] for row in rows), corrupt)
    content = asdict(shard)
    del content["reused"]
    write_json(manifest, content)
    return shard


class RecordReader:
    """Memory-mapped access to the decoded records of one source.

    Args:
        folder: `records/<source>/`.
        shards: names of its Arrow files.
    """

    def __init__(self, folder: Path, shards: Sequence[str]) -> None:
        from datasets import Dataset, concatenate_datasets

        try:
            parts = [Dataset.from_file(str(folder / name)) for name in shards]
        except (OSError, pa.ArrowException) as error:
            raise BenchError(
                "a decoded record file is damaged", where=folder, found=error, fix="run data prepare again"
            ) from error
        table: pa.Table = concatenate_datasets([part for part in parts if len(part)]).data.table
        self._content: dict[str, str] = dict(
            zip(table.column("key").to_pylist(), table.column("content").to_pylist(), strict=True)
        )
        chunks = table.column("key").chunks
        self._place = {
            key: (number, row) for number, chunk in enumerate(chunks) for row, key in enumerate(chunk.to_pylist())
        }
        self._columns = {
            name: [_buffers(chunk) for chunk in table.column(name).chunks]
            for name in table.column_names
            if name not in ("key", "content")
        }

    def __len__(self) -> int:
        return len(self._place)

    def __contains__(self, key: str) -> bool:
        return key in self._place

    def array(self, key: str, modality: Modality) -> Array:
        """One decoded array, a read-only view of the mapped file; shapes as in `sources.Record`."""
        chunk, row = self._place[key]
        offsets, data = self._columns[modality][chunk]
        start, end = int(offsets[row]), int(offsets[row + 1])
        return _view(data[start:end], modality)

    def content(self, key: str) -> str:
        """SHA-256 of the record's decoded arrays: equal for equal content."""
        return self._content[key]


def _buffers(chunk: pa.Array) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Offsets and bytes of a binary column's chunk, in place: Arrow's own scalars would copy every value."""
    _, offsets, data = chunk.buffers()
    whole = np.frombuffer(offsets, dtype=np.int32)
    return whole[chunk.offset : chunk.offset + len(chunk) + 1], np.frombuffer(data, dtype=np.uint8)


def _to_bytes(array: Array) -> bytes:
    order = array.astype("<f4", copy=False) if array.dtype == np.float32 else array
    return order.tobytes()


def _view(raw: NDArray[np.uint8], modality: Modality) -> Array:
    if modality == "image":
        # Grey and colour are told apart by size: one channel or three.
        return raw.reshape(SIDE, SIDE) if raw.size == SIDE * SIDE else raw.reshape(SIDE, SIDE, 3)
    values = raw.view(np.dtype("<f4"))
    return values.reshape(-1, len(FEATURES[modality])) if modality in CLINICAL else values.reshape(len(LEADS), -1)


def _array_hash(record: Record) -> str:
    digest = hashlib.sha256()
    for name, array in record.items():
        digest.update(f"{name} {array.shape} {array.dtype}".encode())
        digest.update(_to_bytes(array))
    return digest.hexdigest()


def _raw_hash(path: Path) -> str:
    try:
        state = path.stat()
    except OSError as error:
        raise BenchError("cannot read a record's file", where=path, found=error) from error
    return _hash_file(path, state.st_mtime_ns, state.st_size)


# A cohort's stays share one file: without the cache it would be read once for every stay.
@lru_cache(maxsize=8)
def _hash_file(path: Path, modified_ns: int, size: int) -> str:
    return file_sha256(path)
