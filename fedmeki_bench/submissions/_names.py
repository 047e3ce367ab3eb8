"""Which method names are taken: by the methods that ship, by the papers' published rows, by other bundles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from fedmeki_bench.files import package_folder, read_json
from fedmeki_bench.submissions._container import open_bundle
from fedmeki_bench.submissions._faults import FaultLog
from fedmeki_bench.submissions._manifest import MANIFEST, folded_name, read_manifest
from fedmeki_bench.submissions._text import read_document

__all__ = ["Claim", "claims_in", "name_conflict", "shipped_names"]

_GROUP = "fedmeki_bench.methods"


@dataclass(frozen=True)
class Claim:
    """One bundle's use of a method name: the row it would have on the leaderboard."""

    bundle: str
    name: str
    authors: tuple[str, ...]
    row: tuple[str, ...]

    @staticmethod
    def of(bundle: str, manifest: Mapping[str, Any]) -> Claim:
        """The claim that a valid manifest makes."""
        model = manifest["foundation_model"]
        row = (
            manifest["kind"],
            manifest["profile"],
            manifest["backbone"],
            model["name"] if model else "",
            *sorted(manifest["protocols"]),
        )
        return Claim(bundle, manifest["method"]["name"], tuple(manifest["authors"]), row)


@cache
def shipped_names() -> frozenset[str]:
    """Names of the methods that ship and of the papers' rows, folded; nothing is imported to find them."""
    points = {point.name for point in entry_points(group=_GROUP) if point.value.startswith("fedmeki_bench.")}
    variants = {path.stem for path in package_folder("baselines").glob("*.yaml")}
    published = {row["method"] for row in read_json(package_folder("published") / "results.json")["rows"]}
    return frozenset(folded_name(name) for name in points | variants | published)


def claims_in(folder: Path) -> list[tuple[Path, Claim]]:
    """The claims of all bundles in `folder` whose manifest can be read; the others are for the checker."""
    claims = []
    for path in sorted(folder.iterdir()):
        log = FaultLog()
        if not (path.is_dir() or path.suffix == ".zip"):
            continue
        with open_bundle(path, log) as files:
            document = read_document(files, MANIFEST, log) if files is not None and MANIFEST in files else None
        manifest = read_manifest(document[0], log) if document else None
        if manifest is not None:
            claims.append((path.resolve(), Claim.of(path.name, manifest)))
    return claims


def name_conflict(manifest: Mapping[str, Any], claim: Claim, others: Sequence[Claim]) -> str | None:
    """Why the bundle may not use its method name, or None.

    A name that ships belongs to runs of the method that ships. Among bundles, a name belongs to its authors,
    who may use it once a row (backbone, foundation model, profile, protocols).
    """
    method = manifest["method"]
    folded = folded_name(claim.name)
    if not folded:
        return "a name without letters or digits"
    if folded in shipped_names():
        run_name = method["run_name"] or ""
        if method["origin"] != "built-in" or manifest["kind"] != "run" or folded_name(run_name) != folded:
            return "the name of a method that ships with fedmeki-bench or is published"
    elif method["origin"] == "built-in":
        return "a name that is not the built-in method's own"
    for other in others:
        if folded_name(other.name) == folded and (other.authors != claim.authors or other.row == claim.row):
            return f"the name of {other.bundle}, by {', '.join(other.authors)}"
    return None
