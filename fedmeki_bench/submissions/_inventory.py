"""Is every file where it belongs, listed in the manifest, and byte for byte what the manifest says?"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from fedmeki_bench.submissions._container import MAX_SOURCE_BYTES, BundleFiles
from fedmeki_bench.submissions._faults import FaultLog
from fedmeki_bench.submissions._layout import is_source, prediction_path, scores_path, scores_seed
from fedmeki_bench.submissions._manifest import MANIFEST
from fedmeki_bench.submissions._text import Digest

__all__ = ["check_digests", "check_layout", "check_sources"]


def check_layout(files: BundleFiles, log: FaultLog) -> None:
    """Name every file that is no part of a bundle, and a manifest that is missing."""
    if MANIFEST not in files and not any(fault.where.split(":")[0] == MANIFEST for fault in log.faults):
        log.add("FB012", MANIFEST, "a manifest", "none")
    for path in files.entries:
        if path != MANIFEST and not is_source(path) and prediction_path(path) is None and scores_seed(path) is None:
            log.add(
                "FB011",
                path,
                "manifest.json, seed-<n>/scores.json, seed-<n>/predictions/<protocol>/<task>.jsonl",
                "another file",
            )


def check_sources(files: BundleFiles, log: FaultLog) -> dict[str, Digest]:
    """Hash the method's own files, which lie beside the manifest to be read: plain text of modest size.

    They are read as bytes and never parsed, imported or run.
    """
    digests = {}
    for path, entry in files.entries.items():
        if not is_source(path) or path == MANIFEST:
            continue
        if entry.size > MAX_SOURCE_BYTES:
            log.add("FB006", path, f"at most {MAX_SOURCE_BYTES:,} bytes", f"{entry.size:,} bytes")
            continue
        with files.open(path) as handle:
            content = handle.read(MAX_SOURCE_BYTES + 1)
        digests[path] = Digest(hashlib.sha256(content).hexdigest(), len(content), content.count(b"\n"))
        try:
            binary = "\0" in content.decode("utf-8")
        except UnicodeDecodeError:
            binary = True
        if binary:
            log.add("FB020", path, "plain text in UTF-8", "something else")
    return digests


def check_digests(
    manifest: Mapping[str, Any], files: BundleFiles, digests: Mapping[str, Digest], log: FaultLog
) -> None:
    """Compare the manifest's list of files with the files themselves.

    Args:
        manifest: a valid manifest.
        files: the bundle; what the container refused is not in it and has its fault already.
        digests: hash and size of every file that could be read.
        log: takes the faults.
    """
    refused = {fault.where.rsplit(":", 1)[0] for fault in log.faults} | {fault.where for fault in log.faults}
    listed = {entry["path"]: entry for entry in manifest["files"]}
    for path, count in Counter(entry["path"] for entry in manifest["files"]).items():
        if count > 1:
            log.add("FB014", MANIFEST, "each file listed once", f"{path} listed {count} times", field="files")
    needed = {scores_path(seed) for seed in manifest["seeds"]}
    for path in sorted(set(listed) | needed):
        if path not in files and path not in refused:
            log.add("FB012", path, "a file", "nothing")
    for path in sorted(set(files.entries) - set(listed) - {MANIFEST}):
        log.add("FB014", path, "a file listed in manifest.json", "one that is not listed")
    for path, digest in digests.items():
        entry = listed.get(path)
        if entry is None:
            continue
        if digest.size != entry["bytes"]:
            log.add("FB013", path, f"{entry['bytes']:,} bytes", f"{digest.size:,} bytes")
        elif digest.sha256 != entry["sha256"]:
            log.add("FB013", path, f"SHA-256 {entry['sha256']}", digest.sha256)
