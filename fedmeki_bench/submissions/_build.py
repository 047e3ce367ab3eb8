"""Making a bundle: predictions in canonical order, their scores, a manifest; no labels, no data."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedmeki_bench.errors import BenchError, Fault, FaultsError, UsageError
from fedmeki_bench.files import file_sha256, write_json, write_jsonl
from fedmeki_bench.metrics import Prediction
from fedmeki_bench.submissions._check import check_bundle
from fedmeki_bench.submissions._layout import PredictionPath, is_source, scores_path
from fedmeki_bench.submissions._manifest import MANIFEST, SCHEMA_VERSION, derived_fields
from fedmeki_bench.submissions._names import claims_in
from fedmeki_bench.submissions._predictions import canonical_row, is_share
from fedmeki_bench.submissions._text import parse_json

__all__ = ["About", "SeedResult", "read_answers", "write_bundle"]


@dataclass(frozen=True)
class About:
    """What only people can say of a submission.

    Attributes:
        method: the method's name on the leaderboard.
        authors: at least one.
        paper: title, citation or address, None if there is none.
        code: where the code can be had, None if nowhere.
        kind: `run` or `predictions-only`.
        origin: `built-in`, `plug-in` or `external`.
        run_name: the method as given to `run --method`, None for other codebases.
    """

    method: str
    authors: Sequence[str]
    paper: str | None
    code: str | None
    kind: str
    origin: str
    run_name: str | None


@dataclass(frozen=True)
class SeedResult:
    """One seed as it goes into a bundle: its result record, and the answers by protocol and task."""

    result: Mapping[str, Any]
    answers: Mapping[PredictionPath, Sequence[Prediction]]


def read_answers(path: Path) -> list[Prediction]:
    """The predictions of a file, sorted by id.

    Raises:
        FaultsError: lines that are no predictions, and ids that occur twice; all at once.
    """
    faults, answers = [], {}
    with path.open(encoding="utf-8") as handle:
        for number, line in enumerate(handle, start=1):
            where = f"{path}:{number}"
            try:
                raw = parse_json(line)
            except ValueError as error:
                faults.append(Fault(where, "", "a JSON object", str(error)))
                continue
            if (
                not isinstance(raw, dict)
                or not isinstance(raw.get("id"), str)
                or not isinstance(raw.get("answer"), str)
            ):
                faults.append(Fault(where, "", "an object with `id` and `answer`, both text", line.strip()[:80]))
            elif set(raw) - {"id", "answer", "score"}:
                extra = ", ".join(sorted(set(raw) - {"id", "answer", "score"}))
                faults.append(
                    Fault(
                        where,
                        extra,
                        "id, answer and perhaps score",
                        "another field",
                        "predictions hold no labels and no data",
                    )
                )
            elif raw.get("score") is not None and not is_share(raw["score"]):
                faults.append(Fault(where, "score", "a number from 0 to 1", repr(raw["score"])[:80]))
            elif raw["id"] in answers:
                faults.append(Fault(where, "id", "each id once", repr(raw["id"])))
            else:
                answers[raw["id"]] = Prediction(raw["id"], raw["answer"], raw.get("score"))
    if faults:
        raise FaultsError(f"{path.name} is no prediction file", faults)
    return [answers[key] for key in sorted(answers)]


def write_bundle(out: Path, seeds: Sequence[SeedResult], about: About) -> Path:
    """Write a bundle to `out`, whole or not at all, after checking it as anyone else will.

    Args:
        out: a folder that does not exist yet, or one that holds only the method's own source files: they
            become part of the bundle, for people to read.
        seeds: one result a seed, which agree.
        about: what only people can say.

    Returns:
        `out`.

    Raises:
        UsageError: `out` holds something else.
        BenchError: the bundle would be refused; says why.
    """
    sources = _sources(out)
    with _beside(out) as folder:
        for source in sources:
            shutil.copyfile(source, folder / source.name)
        results = [_write_seed(folder, seed, about) for seed in seeds]
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "kind": about.kind,
            "method": {
                "name": about.method,
                "run_name": about.run_name,
                "origin": about.origin,
                "config": results[0]["method"]["config"],
            },
            "authors": list(about.authors),
            "paper": about.paper,
            "code": about.code,
            **derived_fields(results, costs=about.kind == "run"),
            "files": [
                {
                    "path": path.relative_to(folder).as_posix(),
                    "bytes": path.stat().st_size,
                    "sha256": file_sha256(path),
                }
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            ],
        }
        write_json(folder / MANIFEST, manifest)
        _refuse_faults(folder, out)
        _move(folder, out)
    return out


def _sources(out: Path) -> list[Path]:
    if not out.exists():
        return []
    found = sorted(path for path in out.iterdir() if path.name != "__pycache__") if out.is_dir() else [out]
    foreign = [path.name for path in found if not (path.is_file() and is_source(path.name))]
    if foreign:
        raise UsageError(
            "the place for the bundle is taken",
            where=out,
            expected="a new folder, or one with nothing but a method's source files",
            found=", ".join(foreign[:5]),
            fix="choose another --out, or delete the old bundle",
        )
    return found


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A temporary folder on the same disk as `out`, gone afterwards."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            inner = Path(folder) / out.name
            inner.mkdir()
            yield inner
    except OSError as error:
        raise BenchError(
            f"cannot write the bundle: {error.strerror or error}", where=out, fix="choose another --out"
        ) from error


def _write_seed(folder: Path, seed: SeedResult, about: About) -> dict[str, Any]:
    """Write one seed's predictions and scores; gives the record as written."""
    digests = {}
    for place, answers in seed.answers.items():
        path = folder / place.path
        write_jsonl(path, (canonical_row(answer) for answer in answers))
        digests[place.inner] = file_sha256(path)
    evaluations = [
        {**evaluation, "predictions_sha256": digests[evaluation["predictions"]]}
        for evaluation in seed.result["evaluations"]
    ]
    method = {"name": about.method, "config": seed.result["method"]["config"]}
    result = {**seed.result, "method": method, "evaluations": evaluations}
    write_json(folder / scores_path(seed.result["seed"]), result)
    return result


def _refuse_faults(folder: Path, out: Path) -> None:
    neighbours = [(path, claim) for path, claim in claims_in(out.parent) if path != out.resolve()]
    report = check_bundle(folder, others=neighbours)
    if not report.ok:
        raise BenchError(
            "the bundle would be refused",
            where=out,
            found="\n    ".join(fault.render() for fault in report.faults),
            fix="mend what is named and submit again; nothing was written",
        )


def _move(folder: Path, out: Path) -> None:
    """Take the finished bundle's place; the manifest comes last, since a folder without one is no bundle."""
    if not out.exists():
        folder.rename(out)
        return
    # Python's own cache of the method's source, which the next import writes again.
    shutil.rmtree(out / "__pycache__", ignore_errors=True)
    for path in sorted(folder.iterdir(), key=lambda path: path.name == MANIFEST):
        path.replace(out / path.name)
