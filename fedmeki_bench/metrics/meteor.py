"""METEOR through nltk, and the WordNet it may use: found and checked before anything is scored.

METEOR with and without synonyms are different metrics, so the WordNet in use is part of the signature. It is
looked for in nltk's own data first, then in Debian's `wordnet-base` and `wordnet-sense-index` packages, whose
files are gathered once in the user's cache because nltk reads no folder outside its data path and wants one
more file.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from fedmeki_bench.errors import BenchError

__all__ = ["MeteorResources", "check_meteor_resources", "meteor"]

_DEBIAN_FOLDER = Path("/usr/share/wordnet")

_PARTS_OF_SPEECH = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}

_FILES = (
    "cntlist.rev",
    "index.sense",
    *(f"{kind}.{part}" for kind in ("index", "data") for part in _PARTS_OF_SPEECH),
    *(f"{part}.exc" for part in _PARTS_OF_SPEECH),
)

_LEXICOGRAPHER_FILES = """
adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body noun.cognition
noun.communication noun.event noun.feeling noun.food noun.group noun.location noun.motive noun.object
noun.person noun.phenomenon noun.plant noun.possession noun.process noun.quantity noun.relation noun.shape
noun.state noun.substance noun.time verb.body verb.change verb.cognition verb.communication verb.competition
verb.consumption verb.contact verb.creation verb.emotion verb.motion verb.perception verb.possession
verb.social verb.stative verb.weather adj.ppl
"""
"""WordNet's lexicographer files in the order of their numbers, from the manual page lexnames(5WN)."""


class _NoSynonyms:
    """Stands for WordNet where there is none: METEOR then matches words exactly and by stem."""

    def synsets(self, word: str) -> list[Any]:
        return []


class MeteorResources(NamedTuple):
    """The WordNet METEOR uses: nltk's reader (or a stand-in without synonyms), version or `none`, folder."""

    wordnet: Any
    version: str
    place: str


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fedmeki-bench" / "nltk"


def _gather(source: Path, root: Path) -> None:
    """Copy WordNet's files to `root`/corpora/wordnet in one step: readers see all of them or none."""
    target = root / "corpora" / "wordnet"
    if target.is_dir():
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".wordnet.") as temporary:
            built = Path(temporary) / "wordnet"
            built.mkdir()
            for name in _FILES:
                (built / name).write_bytes((source / name).read_bytes())
            rows = enumerate(_LEXICOGRAPHER_FILES.split())
            lines = [f"{n:02d}\t{name}\t{_PARTS_OF_SPEECH[name.split('.')[0]]}\n" for n, name in rows]
            (built / "lexnames").write_text("".join(lines), encoding="ascii")
            # Another process may have been faster; its folder is as good as ours.
            if not target.is_dir():
                built.rename(target)
    except OSError as error:
        if target.is_dir():
            return
        raise BenchError(
            f"cannot gather WordNet's files for METEOR: {error.strerror or error}",
            where=target,
            fix="free disk space (31 MB) or set XDG_CACHE_HOME to a folder you may write to",
        ) from error


def _find_wordnet() -> Any:
    """nltk's pointer to WordNet's files (a folder, or a zip as nltk's downloader leaves it), or None."""
    import nltk.data

    # nltk's downloader may leave the folder, the zip, or both.
    for name in ("corpora/wordnet", "corpora/wordnet.zip/wordnet/"):
        with contextlib.suppress(LookupError):
            return nltk.data.find(name)
    if not all((_DEBIAN_FOLDER / name).is_file() for name in _FILES):
        return None
    root = _cache_folder()
    _gather(_DEBIAN_FOLDER, root)
    if str(root) not in nltk.data.path:
        nltk.data.path.append(str(root))
    return nltk.data.find("corpora/wordnet")


@cache
def check_meteor_resources() -> MeteorResources:
    """Find and open what METEOR needs; call it before inference, so that a fault shows before the work.

    Raises:
        BenchError: a WordNet is there but cannot be read, or the cache cannot be written.
    """
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    pointer = _find_wordnet()
    if pointer is None:
        return MeteorResources(_NoSynonyms(), "none", "")
    try:
        with warnings.catch_warnings():
            # The multilingual part, which METEOR does not use, is not there.
            warnings.simplefilter("ignore", UserWarning)
            wordnet = WordNetCorpusReader(pointer, None)
        version = str(wordnet.get_version())
    except (OSError, ValueError, LookupError) as error:
        raise BenchError(
            "WordNet cannot be read, so METEOR cannot be computed",
            where=pointer,
            found=error,
            fix="remove it and try again; it is gathered anew, or downloaded with nltk's own downloader",
        ) from error
    return MeteorResources(wordnet, version, str(pointer))


@cache
def _stemmer() -> Any:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()


def meteor(reference: Sequence[str], hypothesis: Sequence[str]) -> float:
    """METEOR of tokenised texts as in nltk (alpha 0.9, beta 3, gamma 0.5), with the WordNet that was found.

    nltk looks synonyms up after stemming, so only those whose stems are words ("ill", "sick") are found.

    Source: Lavie and Agarwal, WMT 2007.
    """
    from nltk.translate.meteor_score import single_meteor_score

    wordnet = check_meteor_resources().wordnet
    return float(single_meteor_score(reference, hypothesis, stemmer=_stemmer(), wordnet=wordnet))
