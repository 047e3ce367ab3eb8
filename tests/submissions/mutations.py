"""Ways of tampering with a bundle, each with the code of the fault that must be found.

`sealed` mutations refresh every hash afterwards, as a careful forger would: the fault must show by itself.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.submissions.builders import reseal

__all__ = ["MUTATIONS", "Mutation", "pack"]

YES_NO = "seed-0/predictions/multi_task/covid_detection.jsonl"
TEXT = "seed-0/predictions/zero_shot/medvqa_rad.jsonl"
SCORES = "seed-0/scores.json"


@dataclass(frozen=True)
class Mutation:
    """One way of tampering: gives the path of the tampered bundle."""

    name: str
    code: str
    apply: Callable[[Path], Path | None]
    sealed: bool


MUTATIONS: list[Mutation] = []


def mutation(code: str, *, sealed: bool = False) -> Callable[[Callable[[Path], Path | None]], None]:
    def register(apply: Callable[[Path], Path | None]) -> None:
        MUTATIONS.append(Mutation(apply.__name__, code, apply, sealed))

    return register


@contextmanager
def edited(path: Path) -> Iterator[Any]:
    """The JSON document of a file, written back as left."""
    value = json.loads(path.read_text(encoding="utf-8"))
    yield value
    path.write_text(json.dumps(value), encoding="utf-8")


@contextmanager
def manifest(bundle: Path) -> Iterator[Any]:
    with edited(bundle / "manifest.json") as value:
        yield value


@contextmanager
def scores(bundle: Path) -> Iterator[Any]:
    with edited(bundle / SCORES) as value:
        yield value


@contextmanager
def rows(bundle: Path, path: str = YES_NO) -> Iterator[list[Any]]:
    """The rows of a prediction file, written back as left."""
    lines = [json.loads(line) for line in (bundle / path).read_text(encoding="utf-8").splitlines()]
    yield lines
    (bundle / path).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def evaluation(result: Any, task: str) -> Any:
    return next(entry for entry in result["evaluations"] if entry["task"] == task)


def pack(bundle: Path, *, top: str = "") -> Path:
    """The bundle as a zip beside it."""
    path = bundle.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(bundle.rglob("*")):
            if file.is_file():
                archive.write(file, f"{top}{file.relative_to(bundle)}")
    return path


# --- scores


@mutation("FB073", sealed=True)
def score_raised(bundle: Path) -> None:
    with scores(bundle) as result:
        score = evaluation(result, "covid_detection")["scores"]["accuracy"]
        score |= {"value": score["value"] + 0.01, "low": None, "high": None}


@mutation("FB073", sealed=True)
def score_raised_in_the_sixth_digit(bundle: Path) -> None:
    with scores(bundle) as result:
        evaluation(result, "covid_detection")["scores"]["f1"]["value"] += 1e-6


@mutation("FB073", sealed=True)
def scores_of_two_tasks_swapped(bundle: Path) -> None:
    with scores(bundle) as result:
        one, two = evaluation(result, "covid_detection"), evaluation(result, "ectopic_beats_detection")
        one["scores"], two["scores"] = two["scores"], one["scores"]


@mutation("FB013")
def score_edited_and_hash_left(bundle: Path) -> None:
    with scores(bundle) as result:
        evaluation(result, "covid_detection")["scores"]["accuracy"]["value"] = 0.999


@mutation("FB078", sealed=True)
def score_in_per_cent(bundle: Path) -> None:
    with scores(bundle) as result:
        evaluation(result, "covid_detection")["scores"]["accuracy"] |= {
            "value": 93.1,
            "low": None,
            "high": None,
        }


@mutation("FB078", sealed=True)
def score_negative(bundle: Path) -> None:
    with scores(bundle) as result:
        evaluation(result, "covid_detection")["scores"]["f1"] |= {"value": -0.1, "low": None, "high": None}


@mutation("FB027", sealed=True)
def score_nan(bundle: Path) -> None:
    text = (bundle / SCORES).read_text(encoding="utf-8")
    (bundle / SCORES).write_text(text.replace('"value": ', '"value": NaN, "was": ', 1), encoding="utf-8")


@mutation("FB070", sealed=True)
def score_as_text(bundle: Path) -> None:
    with scores(bundle) as result:
        evaluation(result, "covid_detection")["scores"]["accuracy"]["value"] = "0.9"


@mutation("FB074", sealed=True)
def interval_narrowed(bundle: Path) -> None:
    with scores(bundle) as result:
        score = evaluation(result, "ectopic_beats_detection")["scores"]["balanced_accuracy"]
        score["low"] = score["high"] = score["value"]


@mutation("FB074", sealed=True)
def interval_removed(bundle: Path) -> None:
    with scores(bundle) as result:
        evaluation(result, "covid_detection")["scores"]["accuracy"] |= {"low": None, "high": None}


@mutation("FB070", sealed=True)
def interval_upside_down(bundle: Path) -> None:
    with scores(bundle) as result:
        evaluation(result, "covid_detection")["scores"]["accuracy"] |= {"low": 0.99, "high": 0.01}


@mutation("FB075", sealed=True)
def signature_of_another_scoring(bundle: Path) -> None:
    with scores(bundle) as result:
        score = evaluation(result, "covid_detection")["scores"]["accuracy"]
        score["signature"] = score["signature"].replace("strict", "legacy")


@mutation("FB076", sealed=True)
def metric_dropped(bundle: Path) -> None:
    with scores(bundle) as result:
        del evaluation(result, "covid_detection")["scores"]["recall"]


@mutation("FB076", sealed=True)
def metric_invented(bundle: Path) -> None:
    with scores(bundle) as result:
        entry = evaluation(result, "covid_detection")["scores"]
        entry["superiority"] = entry["accuracy"]


@mutation("FB077", sealed=True)
def parse_rate_raised(bundle: Path) -> None:
    with scores(bundle) as result:
        evaluation(result, "covid_detection")["parse_rate"] = 0.5


@mutation("FB072", sealed=True)
def count_raised(bundle: Path) -> None:
    with scores(bundle) as result:
        evaluation(result, "covid_detection")["n"] += 1


@mutation("FB073", sealed=True)
def constant_row_lowered(bundle: Path) -> None:
    with scores(bundle) as result:
        result["references"]["covid_detection"]["majority"]["accuracy"]["value"] = 0.01


@mutation("FB071", sealed=True)
def evaluation_dropped(bundle: Path) -> None:
    with scores(bundle) as result:
        result["evaluations"] = [row for row in result["evaluations"] if row["task"] != "medvqa_rad"]


@mutation("FB070", sealed=True)
def evaluation_twice(bundle: Path) -> None:
    with scores(bundle) as result:
        result["evaluations"].append(result["evaluations"][0])


@mutation("FB070", sealed=True)
def evaluation_points_outside(bundle: Path) -> None:
    with scores(bundle) as result:
        result["evaluations"][0]["predictions"] = "../../../labels/covid_detection.jsonl"


@mutation("FB079")
def evaluation_of_other_predictions(bundle: Path) -> None:
    with scores(bundle) as result:
        result["evaluations"][0]["predictions_sha256"] = "0" * 64
    reseal(bundle, scores=False)


@mutation("FB070", sealed=True)
def scores_with_a_field_more(bundle: Path) -> None:
    with scores(bundle) as result:
        result["verified_by"] = "the maintainers"


@mutation("FB030", sealed=True)
def scores_of_a_newer_schema(bundle: Path) -> None:
    with scores(bundle) as result:
        result["schema_version"] = 2


@mutation("FB012")
def scores_missing(bundle: Path) -> None:
    (bundle / SCORES).unlink()


# --- predictions


@mutation("FB056", sealed=True)
def id_dropped(bundle: Path) -> None:
    with rows(bundle) as lines:
        del lines[3]


@mutation("FB056", sealed=True)
def hard_item_dropped_and_counts_mended(bundle: Path) -> None:
    with rows(bundle) as lines:
        del lines[3]
        left = len(lines)
    for seed in ("seed-0", "seed-1"):
        with edited(bundle / seed / "scores.json") as result:
            facts = result["tasks"]["covid_detection"]
            facts["counts"]["test"] = facts["used"]["test"] = left
            evaluation(result, "covid_detection")["n"] = left
    with manifest(bundle) as value:
        value["tasks"]["covid_detection"]["counts"]["test"] = left


@mutation("FB081", sealed=True)
def sample_passed_off_as_a_result(bundle: Path) -> None:
    with rows(bundle) as lines:
        del lines[6:]
    with scores(bundle) as result:
        result["tasks"]["covid_detection"]["used"] = {"test": 6}
        evaluation(result, "covid_detection")["n"] = 6


@mutation("FB053", sealed=True)
def id_duplicated(bundle: Path) -> None:
    with rows(bundle) as lines:
        lines.insert(3, dict(lines[2]))


@mutation("FB054", sealed=True)
def id_duplicated_far_away(bundle: Path) -> None:
    with rows(bundle) as lines:
        lines.append(dict(lines[0]))


@mutation("FB073", sealed=True)
def answers_of_two_ids_swapped(bundle: Path) -> None:
    with rows(bundle) as lines:
        one = next(line for line in lines if line["answer"] == "Yes")
        two = next(line for line in lines if line["answer"] == "No")
        for name in ("answer", "score"):
            one[name], two[name] = two[name], one[name]


@mutation("FB013")
def ids_swapped_and_hash_left(bundle: Path) -> None:
    with rows(bundle) as lines:
        lines[0]["id"], lines[1]["id"] = lines[1]["id"], lines[0]["id"]


@mutation("FB054", sealed=True)
def rows_reordered(bundle: Path) -> None:
    with rows(bundle) as lines:
        lines.reverse()


@mutation("FB073", sealed=True)
def one_answer_corrected(bundle: Path) -> None:
    with rows(bundle) as lines:
        lines[0]["answer"] = "No" if lines[0]["answer"] == "Yes" else "Yes"


@mutation("FB073", sealed=True)
def all_probabilities_changed(bundle: Path) -> None:
    with rows(bundle) as lines:
        for index, line in enumerate(lines):
            line["score"] = index / len(lines)


@mutation("FB055", sealed=True)
def id_of_another_task(bundle: Path) -> None:
    with rows(bundle) as lines:
        lines[-1]["id"] = "zz-not-an-item"


@mutation("FB055", sealed=True)
def predictions_of_another_task(bundle: Path) -> None:
    shutil.copy(bundle / "seed-0/predictions/zero_shot/ectopic_beats_detection.jsonl", bundle / YES_NO)


@mutation("FB051", sealed=True)
def label_inside_predictions(bundle: Path) -> None:
    with rows(bundle) as lines:
        lines[0]["label"] = "yes"


@mutation("FB051", sealed=True)
def target_inside_predictions(bundle: Path) -> None:
    with rows(bundle, TEXT) as lines:
        for line in lines:
            line["Target"] = "left lung"


@mutation("FB050", sealed=True)
def unknown_field_in_predictions(bundle: Path) -> None:
    with rows(bundle) as lines:
        lines[4]["confidence"] = 0.3


@mutation("FB057", sealed=True)
def probability_above_one(bundle: Path) -> None:
    with rows(bundle) as lines:
        lines[1]["score"] = 1.01


@mutation("FB057", sealed=True)
def probability_as_truth_value(bundle: Path) -> None:
    with rows(bundle) as lines:
        lines[1]["score"] = True


@mutation("FB027", sealed=True)
def probability_nan(bundle: Path) -> None:
    with rows(bundle) as lines:
        lines[1]["score"] = float("nan")


@mutation("FB027", sealed=True)
def probability_overflows(bundle: Path) -> None:
    text = (bundle / YES_NO).read_text(encoding="utf-8")
    (bundle / YES_NO).write_text(text.replace('"score": 0.', '"score": 1e999, "was": 0.', 1), encoding="utf-8")


@mutation("FB058", sealed=True)
def probability_in_some_rows_only(bundle: Path) -> None:
    with rows(bundle) as lines:
        del lines[2]["score"]


@mutation("FB058", sealed=True)
def probabilities_in_a_text_task(bundle: Path) -> None:
    with rows(bundle, TEXT) as lines:
        for line in lines:
            line["score"] = 0.5


@mutation("FB059", sealed=True)
def answer_is_a_number(bundle: Path) -> None:
    with rows(bundle) as lines:
        lines[0]["answer"] = 1


@mutation("FB059", sealed=True)
def answer_missing(bundle: Path) -> None:
    with rows(bundle) as lines:
        del lines[0]["answer"]


@mutation("FB059", sealed=True)
def answer_of_five_thousand_characters(bundle: Path) -> None:
    with rows(bundle, TEXT) as lines:
        lines[0]["answer"] = "yes " * 1250


@mutation("FB052", sealed=True)
def id_is_a_number(bundle: Path) -> None:
    with rows(bundle) as lines:
        lines[0]["id"] = 17


@mutation("FB052", sealed=True)
def id_empty(bundle: Path) -> None:
    with rows(bundle) as lines:
        lines[0]["id"] = ""


@mutation("FB026", sealed=True)
def row_is_a_list(bundle: Path) -> None:
    with rows(bundle) as lines:
        lines[0] = ["covid_detection-0000", "Yes"]


@mutation("FB023", sealed=True)
def file_truncated_in_the_last_line(bundle: Path) -> None:
    content = (bundle / YES_NO).read_bytes()
    (bundle / YES_NO).write_bytes(content[:-9])


@mutation("FB013")
def file_truncated_after_a_line(bundle: Path) -> None:
    lines = (bundle / YES_NO).read_bytes().splitlines(keepends=True)
    (bundle / YES_NO).write_bytes(b"".join(lines[:-2]))


@mutation("FB061", sealed=True)
def file_emptied(bundle: Path) -> None:
    (bundle / YES_NO).write_bytes(b"")


@mutation("FB021", sealed=True)
def byte_order_mark(bundle: Path) -> None:
    (bundle / YES_NO).write_bytes(b"\xef\xbb\xbf" + (bundle / YES_NO).read_bytes())


@mutation("FB022", sealed=True)
def windows_line_endings(bundle: Path) -> None:
    (bundle / YES_NO).write_bytes((bundle / YES_NO).read_bytes().replace(b"\n", b"\r\n"))


@mutation("FB024", sealed=True)
def empty_line(bundle: Path) -> None:
    (bundle / YES_NO).write_bytes((bundle / YES_NO).read_bytes().replace(b"\n", b"\n\n", 1))


@mutation("FB020", sealed=True)
def latin_1(bundle: Path) -> None:
    text = (bundle / TEXT).read_text(encoding="utf-8")
    (bundle / TEXT).write_bytes(text.replace('"answer": "', '"answer": "\u00e9', 1).encode("latin-1"))


@mutation("FB020", sealed=True)
def utf_16(bundle: Path) -> None:
    (bundle / YES_NO).write_bytes((bundle / YES_NO).read_text(encoding="utf-8").encode("utf-16"))


@mutation("FB020", sealed=True)
def half_a_surrogate_pair(bundle: Path) -> None:
    with rows(bundle, TEXT) as lines:
        lines[0]["answer"] = "\ud83d"


@mutation("FB028", sealed=True)
def key_twice_in_a_row(bundle: Path) -> None:
    text = (bundle / YES_NO).read_text(encoding="utf-8")
    (bundle / YES_NO).write_text(text.replace('"answer":', '"answer": "No", "answer":', 1), encoding="utf-8")


@mutation("FB026", sealed=True)
def python_instead_of_json(bundle: Path) -> None:
    text = (bundle / YES_NO).read_text(encoding="utf-8")
    (bundle / YES_NO).write_text(text.replace('"', "'"), encoding="utf-8")


@mutation("FB026", sealed=True)
def nested_ten_thousand_deep(bundle: Path) -> None:
    with (bundle / YES_NO).open("a", encoding="utf-8") as handle:
        handle.write("[" * 8000 + "]" * 8000 + "\n")


@mutation("FB026", sealed=True)
def number_of_ten_thousand_digits(bundle: Path) -> None:
    with (bundle / YES_NO).open("a", encoding="utf-8") as handle:
        handle.write('{"id": "zz", "answer": "No", "score": ' + "9" * 10_000 + "}\n")


@mutation("FB025", sealed=True)
def line_of_a_megabyte(bundle: Path) -> None:
    with rows(bundle, TEXT) as lines:
        lines[0]["answer"] = "a" * 2**20


@mutation("FB006")
def file_of_a_terabyte(bundle: Path) -> None:
    os.truncate(bundle / YES_NO, 2**40)


@mutation("FB060", sealed=True)
def rows_without_end(bundle: Path) -> None:
    with (bundle / YES_NO).open("a", encoding="utf-8") as handle:
        handle.writelines(f'{{"id": "z{index:07d}", "answer": "No", "score": 0.1}}\n' for index in range(200_001))


@mutation("FB012")
def predictions_missing(bundle: Path) -> None:
    (bundle / YES_NO).unlink()


@mutation("FB071", sealed=True)
def predictions_missing_everywhere(bundle: Path) -> None:
    (bundle / YES_NO).unlink()


@mutation("FB071", sealed=True)
def predictions_renamed_to_another_task(bundle: Path) -> None:
    (bundle / YES_NO).rename(bundle / "seed-0/predictions/multi_task/ecg_abnormal_detection.jsonl")


@mutation("FB011", sealed=True)
def predictions_renamed(bundle: Path) -> None:
    (bundle / YES_NO).rename(bundle / YES_NO.replace(".jsonl", ".json"))


@mutation("FB041", sealed=True)
def zero_shot_task_as_multi_task(bundle: Path) -> None:
    source = bundle / "seed-0/predictions/zero_shot/ectopic_beats_detection.jsonl"
    source.rename(bundle / "seed-0/predictions/multi_task/ectopic_beats_detection.jsonl")


@mutation("FB033", sealed=True)
def unknown_task(bundle: Path) -> None:
    (bundle / YES_NO).rename(bundle / "seed-0/predictions/multi_task/fracture_detection.jsonl")


# --- manifest---


@mutation("FB012")
def manifest_missing(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()


@mutation("FB026")
def manifest_truncated(bundle: Path) -> None:
    path = bundle / "manifest.json"
    path.write_bytes(path.read_bytes()[:-40])


@mutation("FB032")
def manifest_is_a_list(bundle: Path) -> None:
    (bundle / "manifest.json").write_text("[]\n", encoding="utf-8")


@mutation("FB021")
def manifest_with_a_byte_order_mark(bundle: Path) -> None:
    path = bundle / "manifest.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


@mutation("FB030")
def newer_schema(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["schema_version"] = 2


@mutation("FB031")
def schema_before_the_first(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["schema_version"] = 0


@mutation("FB031")
def schema_as_text(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["schema_version"] = "1"


@mutation("FB031")
def schema_true(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["schema_version"] = True


@mutation("FB032")
def manifest_with_a_field_more(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["rank"] = 1


@mutation("FB032")
def authors_missing(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["authors"] = []


@mutation("FB034")
def other_spec_version(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["tasks"]["covid_detection"]["spec_version"] = 7


@mutation("FB035")
def other_spec(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["tasks"]["covid_detection"]["spec_hash"] = "c" * 64


@mutation("FB035", sealed=True)
def other_spec_everywhere(bundle: Path) -> None:
    for path in (bundle / "manifest.json", *bundle.glob("seed-*/scores.json")):
        with edited(path) as value:
            value["tasks"]["covid_detection"]["spec_hash"] = "c" * 64


@mutation("FB038")
def other_split(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["tasks"]["covid_detection"]["split_hash"] = "c" * 64


@mutation("FB036", sealed=True)
def other_split_scheme_everywhere(bundle: Path) -> None:
    for path in (bundle / "manifest.json", *bundle.glob("seed-*/scores.json")):
        with edited(path) as value:
            value["tasks"]["covid_detection"]["split_scheme"] = "released"


@mutation("FB033", sealed=True)
def unknown_task_in_the_manifest(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["tasks"]["fracture_detection"] = value["tasks"]["covid_detection"]


@mutation("FB037", sealed=True)
def random_weights(bundle: Path) -> None:
    for path in (bundle / "manifest.json", *bundle.glob("seed-*/scores.json")):
        with edited(path) as value:
            value["foundation_model"]["random_weights"] = True


@mutation("FB038")
def other_foundation_model(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["foundation_model"]["name"] = "mmedlm2"


@mutation("FB038")
def simulated_data_hidden(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["tasks"]["covid_detection"]["simulated"] = True


@mutation("FB038")
def cost_lowered(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["runs"][0]["cost"]["bytes_up"] = 1


@mutation("FB038")
def commit_replaced(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["runs"][0]["provenance"]["git_commit"] = "0000000"


@mutation("FB038")
def seed_listed_that_is_not_there(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["seeds"].append(5)


@mutation("FB038", sealed=True)
def seed_dropped(bundle: Path) -> None:
    shutil.rmtree(bundle / "seed-1")


@mutation("FB080", sealed=True)
def seed_folder_renamed(bundle: Path) -> None:
    (bundle / "seed-1").rename(bundle / "seed-2")


@mutation("FB042", sealed=True)
def one_run_under_two_seeds(bundle: Path) -> None:
    shutil.rmtree(bundle / "seed-1")
    shutil.copytree(bundle / "seed-0", bundle / "seed-1")


@mutation("FB042", sealed=True)
def seeds_of_two_methods(bundle: Path) -> None:
    with edited(bundle / "seed-1/scores.json") as result:
        result["backbone"] = "fedprox"


@mutation("FB042", sealed=True)
def seeds_with_other_settings(bundle: Path) -> None:
    with edited(bundle / "seed-1/scores.json") as result:
        result["config"]["rounds"] = 100


@mutation("FB042", sealed=True)
def config_hidden(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["method"]["config"] = {"rank": 8}


@mutation("FB039")
def name_of_a_shipped_method(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["method"]["name"] = "FedKIM"


@mutation("FB039")
def name_that_looks_like_a_shipped_method(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["method"]["name"] = "Fed\uff30lug-L"


@mutation("FB040")
def name_with_a_direction_mark(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["method"]["name"] = "mine\u202eMIKdef"


@mutation("FB040")
def author_with_an_escape_sequence(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["authors"] = ["Ada\x1b[2J\x1b[31m Author"]


@mutation("FB013")
def wrong_hash(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["files"][0]["sha256"] = "0" * 64


@mutation("FB013")
def wrong_size(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["files"][0]["bytes"] += 1


@mutation("FB014")
def file_not_listed(bundle: Path) -> None:
    with manifest(bundle) as value:
        del value["files"][0]


@mutation("FB014")
def file_listed_twice(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["files"].append(value["files"][0])


@mutation("FB012")
def listed_path_outside(bundle: Path) -> None:
    with manifest(bundle) as value:
        value["files"].append({"path": "../runs/0/labels/x.jsonl", "bytes": 1, "sha256": "0" * 64})


# --- the container


@mutation("FB011", sealed=True)
def labels_beside_the_predictions(bundle: Path) -> None:
    (bundle / "seed-0/labels").mkdir()
    (bundle / "seed-0/labels/covid_detection.jsonl").write_text("{}\n", encoding="utf-8")


@mutation("FB011", sealed=True)
def pickle(bundle: Path) -> None:
    (bundle / "weights.pkl").write_bytes(
        b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93."
    )


@mutation("FB011", sealed=True)
def hidden_file(bundle: Path) -> None:
    (bundle / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")


@mutation("FB014")
def source_file_not_listed(bundle: Path) -> None:
    (bundle / "method.py").write_text("raise SystemExit\n", encoding="utf-8")


@mutation("FB020", sealed=True)
def program_called_a_source(bundle: Path) -> None:
    (bundle / "method.py").write_bytes(b"\x7fELF\2\1\1\0")


@mutation("FB010", sealed=True)
def executable(bundle: Path) -> None:
    (bundle / YES_NO).chmod(0o755)


@mutation("FB003")
def symlink_to_a_file_outside(bundle: Path) -> None:
    (bundle / YES_NO).unlink()
    (bundle / YES_NO).symlink_to("/etc/hostname")


@mutation("FB003", sealed=True)
def symlink_to_a_folder(bundle: Path) -> None:
    (bundle / "seed-9").symlink_to(bundle / "seed-0")


@mutation("FB003", sealed=True)
def pipe(bundle: Path) -> None:
    os.mkfifo(bundle / "seed-0/predictions/multi_task/mortality_prediction.jsonl")


@mutation("FB002", sealed=True)
def file_name_with_an_escape_sequence(bundle: Path) -> None:
    (bundle / "seed-0/\x1b[31mred.jsonl").write_text("{}\n", encoding="utf-8")


@mutation("FB002", sealed=True)
def deep_folders(bundle: Path) -> None:
    (bundle / "a/b/c/d/e/f").mkdir(parents=True)
    (bundle / "a/b/c/d/e/f/g.py").write_text("\n", encoding="utf-8")


@mutation("FB005", sealed=True)
def three_thousand_files(bundle: Path) -> None:
    for index in range(3000):
        (bundle / f"n{index}.txt").write_text("", encoding="utf-8")


@mutation("FB004", sealed=True)
def names_that_differ_by_case(bundle: Path) -> None:
    (bundle / "readme.md").write_text("a\n", encoding="utf-8")
    (bundle / "README.md").write_text("b\n", encoding="utf-8")


@mutation("FB006", sealed=True)
def source_of_two_megabytes(bundle: Path) -> None:
    (bundle / "method.py").write_text("#" * 2**21, encoding="utf-8")


@mutation("FB002")
def zip_path_traversal(bundle: Path) -> Path:
    path = pack(bundle)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../outside.jsonl", "{}\n")
    return path


@mutation("FB002")
def zip_absolute_path(bundle: Path) -> Path:
    path = pack(bundle)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("/etc/cron.d/x", "* * * * * root true\n")
    return path


@mutation("FB002")
def zip_backslash_path(bundle: Path) -> Path:
    path = pack(bundle)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("seed-0\\..\\..\\x.jsonl", "{}\n")
    return path


@mutation("FB003")
def zip_symlink(bundle: Path) -> Path:
    path = pack(bundle)
    info = zipfile.ZipInfo("seed-0/predictions/multi_task/mortality_prediction.jsonl")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, "/etc/passwd")
    return path


@mutation("FB008")
def zip_bomb(bundle: Path) -> Path:
    path = pack(bundle)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("seed-0/predictions/multi_task/mortality_prediction.jsonl", b" " * 40 * 2**20)
    return path


@mutation("FB004")
def zip_entry_twice(bundle: Path) -> Path:
    path = pack(bundle)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("manifest.json", (bundle / "manifest.json").read_bytes())
    return path


@mutation("FB009")
def zip_with_a_damaged_entry(bundle: Path) -> Path:
    path = pack(bundle)
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(YES_NO)
    content = bytearray(path.read_bytes())
    start = info.header_offset + 30 + len(info.filename)
    content[start + 40 : start + 60] = bytes(20)
    path.write_bytes(content)
    return path


@mutation("FB009")
def zip_that_lies_about_a_size(bundle: Path) -> Path:
    path = pack(bundle)
    content = bytearray(path.read_bytes())
    at = content.rfind(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<L", 10)
    path.write_bytes(content)
    return path


@mutation("FB009")
def zip_encrypted(bundle: Path) -> Path:
    path = pack(bundle)
    content = bytearray(path.read_bytes())
    at = content.find(b"PK\x01\x02")
    content[at + 8] |= 1
    path.write_bytes(content)
    return path


@mutation("FB005")
def zip_with_three_thousand_entries(bundle: Path) -> Path:
    path = pack(bundle)
    with zipfile.ZipFile(path, "a") as archive:
        for index in range(3000):
            archive.writestr(f"n{index}.txt", "")
    return path


@mutation("FB005")
def zip_that_claims_a_huge_table_of_contents(bundle: Path) -> Path:
    path = pack(bundle)
    content = bytearray(path.read_bytes())
    at = content.rfind(b"PK\x05\x06")
    content[at + 12 : at + 16] = struct.pack("<L", 2**31)
    path.write_bytes(content)
    return path


@mutation("FB001")
def zip_truncated(bundle: Path) -> Path:
    path = pack(bundle)
    path.write_bytes(path.read_bytes()[:-100])
    return path


@mutation("FB001")
def not_a_zip(bundle: Path) -> Path:
    path = bundle.with_suffix(".zip")
    path.write_bytes(b"#!/bin/sh\necho hello\n" * 100)
    return path


@mutation("FB001")
def nothing_there(bundle: Path) -> Path:
    return bundle.with_name("elsewhere")


@mutation("FB007", sealed=True)
def many_large_files(bundle: Path) -> None:
    for index in range(20):
        path = bundle / f"seed-{index + 10}/predictions/multi_task/covid_detection.jsonl"
        path.parent.mkdir(parents=True)
        path.touch()
        os.truncate(path, 60 * 2**20)
