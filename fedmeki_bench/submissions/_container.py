"""A bundle's files, read safely from a folder or a zip: nothing is extracted, followed, imported or run.

Every limit is checked against what is really read, not against what a header claims.
"""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from fedmeki_bench.submissions._faults import FaultLog

__all__ = ["MAX_FILE_BYTES", "MAX_SOURCE_BYTES", "BundleFiles", "Entry", "open_bundle"]

MAX_FILES = 2_000
MAX_FILE_BYTES = 64 * 2**20
"""A prediction file of the largest test part (3,813 items) is under 1 MiB."""
MAX_SOURCE_BYTES = 2**20
MAX_TOTAL_BYTES = 1024 * 2**20
MAX_RATIO = 200
"""Predictions compress about 10 to 50 fold; deflate reaches 1,032."""
RATIO_FREE_BYTES = 2**20
MAX_DIRECTORY_BYTES = 2**20
MAX_DEPTH = 4
MAX_PATH = 200

_END_RECORD = struct.Struct("<4s4H2LH")
_ZIP64_LOCATOR_BYTES = 20


@dataclass(frozen=True)
class Entry:
    """One file of a bundle: its path inside (with `/`), its stated size in bytes, its execute bit."""

    path: str
    size: int
    executable: bool


class BundleFiles:
    """The files of one bundle that are safe to read, by path; `open` gives bytes, as a stream."""

    def __init__(
        self, name: str, entries: Mapping[str, Entry], source: Path | zipfile.ZipFile, prefix: str = ""
    ) -> None:
        self.name = name
        self.entries = dict(entries)
        self._source = source
        self._prefix = prefix

    def __contains__(self, path: str) -> bool:
        return path in self.entries

    @contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        """A stream of the file's bytes; raises `KeyError` for a file that is not among the safe ones."""
        entry = self.entries[path]
        if isinstance(self._source, zipfile.ZipFile):
            with self._source.open(self._prefix + entry.path) as packed:
                yield packed
        else:
            with (self._source / entry.path).open("rb") as plain:
                yield plain


@contextmanager
def open_bundle(path: Path, log: FaultLog) -> Iterator[BundleFiles | None]:
    """The safe files of the bundle at `path` (a folder or a zip); None if there is nothing that can be read.

    Faults of the container go to `log`; a file at fault is left out of what can be opened.
    """
    if path.is_dir():
        yield BundleFiles(path.resolve().name, _folder_entries(path, log), path)
    elif path.is_file():
        with _open_zip(path, log) as archive:
            if archive is None:
                yield None
            else:
                prefix, entries = _zip_entries(archive, log)
                yield BundleFiles(prefix.rstrip("/") or path.stem, entries, archive, prefix)
    else:
        log.add(
            "FB001",
            path.name,
            "a folder or a zip file",
            "something else" if os.path.lexists(path) else "nothing there",
        )
        yield None


def _path_fault(path: str) -> str | None:
    """Why a path must not be used, or None."""
    parts = path.split("/")
    if not path or path.startswith("/") or "\\" in path or (len(path) > 1 and path[1] == ":"):
        return "an absolute or foreign path"
    if any(part in ("", ".", "..") for part in parts):
        return "a path that leaves the bundle or is not in its plain form"
    if len(parts) > MAX_DEPTH or len(path) > MAX_PATH:
        return "a path that is too long or too deep"
    if not all(char.isascii() and (char.isalnum() or char in "._-/") for char in path):
        return "a path with characters other than letters, digits, dot, dash and underscore"
    return None


def _admit(entries: dict[str, Entry], folded: dict[str, str], entry: Entry, log: FaultLog) -> None:
    """Take `entry` in unless its path or size is at fault."""
    fault = _path_fault(entry.path)
    if fault:
        log.add("FB002", entry.path, "a plain path inside the bundle", fault)
        return
    other = folded.setdefault(entry.path.casefold(), entry.path)
    if other != entry.path or entry.path in entries:
        log.add("FB004", entry.path, "one file of a name, whatever its case", f"also {other}")
        return
    if entry.size > MAX_FILE_BYTES:
        log.add("FB006", entry.path, f"at most {MAX_FILE_BYTES:,} bytes", f"{entry.size:,} bytes")
        return
    if entry.executable:
        log.add("FB010", entry.path, "a file without execute permission", "an executable")
    entries[entry.path] = entry


def _walk(folder: Path, inner: PurePosixPath, log: FaultLog) -> Iterator[Entry]:
    """Every regular file below `folder`, in a fixed order; links and special files are never touched."""
    with os.scandir(folder) as listing:
        found = sorted(listing, key=lambda item: item.name)
    for item in found:
        path = inner / item.name
        mode = item.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            if len(path.parts) >= MAX_DEPTH + 1:
                log.add("FB002", str(path), f"at most {MAX_DEPTH} levels", "more")
            else:
                yield from _walk(Path(item.path), path, log)
        elif stat.S_ISREG(mode):
            size = item.stat(follow_symlinks=False).st_size
            yield Entry(str(path), size, bool(mode & 0o111) and os.name == "posix")
        else:
            log.add(
                "FB003",
                str(path),
                "a regular file",
                "a symbolic link" if stat.S_ISLNK(mode) else "a special file",
            )


def _folder_entries(folder: Path, log: FaultLog) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    folded: dict[str, str] = {}
    for count, entry in enumerate(_walk(folder, PurePosixPath(), log)):
        if count >= MAX_FILES:
            log.add("FB005", folder.name, f"at most {MAX_FILES} files", "more")
            break
        _admit(entries, folded, entry, log)
    return _within_total(entries, folder.name, log)


def _within_total(entries: dict[str, Entry], name: str, log: FaultLog) -> dict[str, Entry]:
    total = sum(entry.size for entry in entries.values())
    if total > MAX_TOTAL_BYTES:
        log.add("FB007", name, f"at most {MAX_TOTAL_BYTES:,} bytes in all", f"{total:,} bytes")
        return {}
    return entries


def _directory_fault(path: Path) -> str | None:
    """Why a zip's table of contents must not be loaded, or None: it is judged before a byte of it is read.

    `zipfile` loads the whole table; millions of entries would exhaust the memory. The end record is looked
    for where `zipfile` looks for it, and ZIP64, which overrides it, is refused: a bundle never needs it.
    """
    with path.open("rb") as handle:
        size = handle.seek(0, os.SEEK_END)
        start = max(size - 65_557 - _ZIP64_LOCATOR_BYTES, 0)
        handle.seek(start)
        tail = handle.read()
    plain = len(tail) - _END_RECORD.size
    at_end = plain >= 0 and tail[plain : plain + 4] == b"PK\x05\x06" and tail[-2:] == b"\0\0"
    at = plain if at_end else tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END_RECORD.size:
        return "no zip file"
    if b"PK\x06\x07" in tail[max(at - _ZIP64_LOCATOR_BYTES, 0) : at]:
        return "a ZIP64 archive"
    _, _, _, _, entries, directory, _, _ = _END_RECORD.unpack(tail[at : at + _END_RECORD.size])
    if directory > MAX_DIRECTORY_BYTES or entries > MAX_FILES * 2:
        return f"{entries:,} entries"
    return None


@contextmanager
def _open_zip(path: Path, log: FaultLog) -> Iterator[zipfile.ZipFile | None]:
    fault = _directory_fault(path)
    if fault:
        code = "FB001" if fault == "no zip file" else "FB005"
        log.add(code, path.name, f"a zip file of at most {MAX_FILES} entries", fault)
        yield None
        return
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        log.add("FB009", path.name, "a zip file that can be read", error)
        yield None
        return
    with archive:
        yield archive


def _zip_entries(archive: zipfile.ZipFile, log: FaultLog) -> tuple[str, dict[str, Entry]]:
    """The archive's own top folder, if everything lies in one, and the safe entries below it."""
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MAX_FILES:
        log.add("FB005", "zip", f"at most {MAX_FILES} files", f"{len(infos):,} files")
        return "", {}
    prefix = _common_folder([info.filename for info in infos])
    entries: dict[str, Entry] = {}
    folded: dict[str, str] = {}
    for info in infos:
        # `orig_filename` still shows what `zipfile` cleans away: a NUL byte ends the name it reports.
        name = info.orig_filename.removeprefix(prefix)
        mode = info.external_attr >> 16
        if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            log.add("FB003", name, "a regular file", "a symbolic link" if stat.S_ISLNK(mode) else "a special file")
        elif info.flag_bits & 0x1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            log.add("FB009", name, "a plain or deflated file", "an encrypted or unusual one")
        elif info.file_size > max(RATIO_FREE_BYTES, MAX_RATIO * info.compress_size):
            log.add(
                "FB008",
                name,
                f"at most {MAX_RATIO}-fold compression",
                f"{info.file_size:,} bytes in {info.compress_size:,}",
            )
        else:
            _admit(entries, folded, Entry(name, info.file_size, bool(mode & 0o111)), log)
    entries = _within_total(entries, "zip", log)
    for path in list(entries):
        if not _readable(archive, prefix + path, log, path):
            del entries[path]
    return prefix, entries


def _common_folder(names: list[str]) -> str:
    """`folder/` if a manifest lies in `folder/` and not at the top, else nothing."""
    if "manifest.json" in names:
        return ""
    tops = {name.split("/", 1)[0] for name in names if "/" in name}
    holders = [top for top in sorted(tops) if f"{top}/manifest.json" in names]
    return f"{holders[0]}/" if len(holders) == 1 else ""


def _readable(archive: zipfile.ZipFile, name: str, log: FaultLog, path: str) -> bool:
    """Whether the entry unpacks whole, to its stated size and checksum; read in blocks, nothing is kept."""
    try:
        with archive.open(name) as handle:
            while handle.read(2**16):
                pass
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OSError,
    ) as error:
        log.add("FB009", path, "an entry that unpacks whole", error)
        return False
    return True
