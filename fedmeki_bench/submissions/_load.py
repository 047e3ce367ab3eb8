"""Reading a bundle for the leaderboard: its manifest, and one result record a seed as if it were a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedmeki_bench.errors import FaultsError
from fedmeki_bench.metrics import Prediction
from fedmeki_bench.specs._result import result_faults
from fedmeki_bench.submissions._container import open_bundle
from fedmeki_bench.submissions._faults import FaultLog
from fedmeki_bench.submissions._layout import scores_path
from fedmeki_bench.submissions._manifest import MANIFEST, read_manifest
from fedmeki_bench.submissions._predictions import FileSummary, check_rows
from fedmeki_bench.submissions._text import Digest, read_document

__all__ = ["Bundle", "load_bundle"]


@dataclass(frozen=True)
class Bundle:
    """A bundle as read.

    Attributes:
        path: folder or zip.
        manifest: in its newest form, see `manifest.schema.json`.
        results: one record a seed in the form of `result.json`, in the order of the manifest's seeds. For a
            predictions-only bundle its cost, encoders and trainings are empty: nobody recorded them.
    """

    path: Path
    manifest: Mapping[str, Any]
    results: Sequence[Mapping[str, Any]]

    @property
    def predictions_only(self) -> bool:
        """Whether the predictions come from other code."""
        return bool(self.manifest["kind"] == "predictions-only")

    def predictions(self, seed: int, protocol: str, task: str) -> Iterator[Prediction]:
        """The predictions of one seed on one task, in order of their ids.

        Raises:
            FaultsError: the file is missing or not as it should be.
        """
        log = FaultLog()
        path = f"seed-{seed}/predictions/{protocol}/{task}.jsonl"
        with open_bundle(self.path, log) as files:
            if files is None or path not in files:
                log.add("FB012", path, "a file", "nothing")
            else:
                yield from check_rows(files, path, None, log, FileSummary(Digest()))
        if log.count:
            raise FaultsError(f"the predictions {path} of {self.path.name} cannot be read", log.sorted(), exit_code=3)


def load_bundle(path: Path) -> Bundle:
    """Read the manifest and the scores of a bundle of any schema version so far; nothing is scored again.

    Raises:
        FaultsError: it is no bundle, or its records are not valid; `check` says more.
    """
    log = FaultLog()
    manifest, results = None, []
    with open_bundle(path, log) as files:
        if files is not None and MANIFEST in files:
            document = read_document(files, MANIFEST, log)
            manifest = read_manifest(document[0], log) if document else None
        elif not log.count:
            log.add("FB012", MANIFEST, "a manifest", "none")
        for seed in manifest["seeds"] if manifest and files else ():
            scores = scores_path(seed)
            document = read_document(files, scores, log) if files is not None and scores in files else None
            if document is None:
                log.add("FB012", scores, "the seed's scores", "none")
                continue
            for fault in result_faults(document[0], scores):
                log.add("FB070", scores, fault.expected, fault.found, field=fault.field)
            results.append(document[0])
    if manifest is None or log.count:
        raise FaultsError(f"{path.name} cannot be read as a bundle", log.sorted(), exit_code=3)
    return Bundle(path, manifest, results)
