"""`fedmeki-bench score` as a user meets it, and everything that can be wrong with a prediction file."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from fedmeki_bench.cli import main
from fedmeki_bench.cli.score import command
from fedmeki_bench.errors import FaultsError, UsageError
from fedmeki_bench.files import write_jsonl
from fedmeki_bench.metrics import LabelRow, read_labels, read_predictions, read_released, read_store_labels

from .builders import task

SPEC = task("sepsis_prediction")
LABELS = [LabelRow(f"stay{k}", "yes" if k < 3 else "no", f"patient{k // 2}") for k in range(10)]


@pytest.fixture
def run_folder(tmp_path):
    """A run's folder with labels and predictions of one task; every other answer is right."""
    rows = [{"id": row.id, "target": row.target, "group": row.group, "question_type": None} for row in LABELS]
    write_jsonl(tmp_path / "labels" / f"{SPEC.id}.jsonl", rows)
    answers = [{"id": row.id, "answer": "Yes" if k % 2 else "No", "score": k / 10} for k, row in enumerate(LABELS)]
    write_jsonl(tmp_path / "predictions" / "zero_shot" / f"{SPEC.id}.jsonl", answers)
    return tmp_path


@pytest.fixture
def predictions(run_folder):
    return run_folder / "predictions" / "zero_shot" / f"{SPEC.id}.jsonl"


def score(*arguments):
    result = CliRunner().invoke(command, [str(argument) for argument in arguments], standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.output


def faults_of(path, content, **options):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FaultsError) as caught:
        read_predictions(path, labels=LABELS, **options)
    assert caught.value.exit_code == 3
    return str(caught.value)


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


GOOD = [{"id": row.id, "answer": "No"} for row in LABELS]


class TestCommand:
    def test_json_is_one_object_with_values_in_0_to_1(self, predictions):
        found = json.loads(score(predictions, "--task", "SP", "--json"))
        assert found["n"] == 10 and found["parse_rate"] == 1.0
        assert {
            "accuracy",
            "precision",
            "recall",
            "f1",
            "balanced_accuracy",
            "mcc",
            "auroc",
            "brier",
        } <= found.keys()
        assert found["intervals"]["accuracy"][0] <= found["accuracy"] <= found["intervals"]["accuracy"][1]
        best = found["best_constant"]["accuracy"]
        assert (best["row"], best["value"], best["distance"]) == ("majority", 0.7, found["accuracy"] - 0.7)
        assert all(name == name.lower() for name in found)
        assert found["signatures"]["f1"].startswith("name:f1|")

    def test_table_shows_intervals_parse_rate_and_distance_to_the_best_constant(self, predictions):
        shown = score(predictions, "--task", SPEC.id)
        assert "100.00% of the answers read" in shown
        assert "best constant" in shown and "majority" in shown and "95% interval" in shown

    def test_labels_of_the_run_are_found_whatever_the_folder_one_stands_in(self, predictions, monkeypatch):
        monkeypatch.chdir(predictions.parent)
        assert json.loads(score(predictions.name, "--task", "SP", "--json"))["n"] == 10

    def test_without_labels_it_says_where_they_could_come_from(self, predictions, tmp_path):
        lonely = tmp_path / "answers.jsonl"
        lonely.write_bytes(predictions.read_bytes())
        with pytest.raises(UsageError, match="--labels FILE or --data STORE"):
            score(lonely, "--task", "SP")
        assert "10 items" in score(lonely, "--task", "SP", "--labels", tmp_path / "labels" / f"{SPEC.id}.jsonl")

    def test_partial_scores_what_is_there_and_says_so_in_every_output(self, predictions):
        predictions.write_text("".join(predictions.read_text().splitlines(keepends=True)[:6]))
        with pytest.raises(FaultsError, match="an answer for 'stay7'"):
            score(predictions, "--task", "SP")
        shown = score(predictions, "--task", "SP", "--partial")
        assert "PARTIAL" in shown and "6 of 10 items" in shown
        found = json.loads(score(predictions, "--task", "SP", "--partial", "--json"))
        assert (found["partial"], found["n"], found["expected"]) == (True, 6, 10)

    def test_faulty_file_exits_3_and_prints_no_score(self, predictions, capsys):
        predictions.write_text(predictions.read_text() + '{"id": "stay1", "answer": "Yes"}\n{"id": "st')
        with pytest.raises(SystemExit) as stop:
            main(["score", str(predictions), "--task", "SP", "--json"])
        shown = capsys.readouterr()
        assert stop.value.code == 3
        assert shown.out == ""
        assert ":11: id: " in shown.err and ":12: " in shown.err and "middle of a line" in shown.err

    def test_unknown_task_is_a_usage_error(self, predictions, capsys):
        with pytest.raises(SystemExit) as stop:
            main(["score", str(predictions), "--task", "sepsis"])
        assert stop.value.code == 2
        assert "sepsis_prediction" in capsys.readouterr().err

    def test_released_list_is_scored_both_ways(self, tmp_path):
        log = tmp_path / "log.json"
        rows = [("Answer: Yes", "Yes"), ("Answer: Yes", ""), ("Answer: No", "none")]
        log.write_text(json.dumps([{"id": str(k), "label": t, "answer": a} for k, (t, a) in enumerate(rows)]))
        strict = json.loads(score(log, "--task", "EBD", "--json"))
        legacy = json.loads(score(log, "--task", "EBD", "--json", "--scoring", "legacy"))
        assert strict["parse_rate"] == pytest.approx(1 / 3)
        assert (strict["recall"], legacy["recall"]) == (0.5, 1.0)
        assert set(legacy["quirks"]) == {"substring_count", "unreadable_rewrites_truth"}
        assert "unreadable_rewrites_truth: " in score(log, "--task", "EBD", "--scoring", "legacy")

    def test_prepared_store_gives_the_labels_of_its_test_part(self, predictions, tmp_path):
        import pyarrow as pa
        import pyarrow.parquet as pq

        index = tmp_path / "store" / "tasks" / SPEC.id / "index.parquet"
        index.parent.mkdir(parents=True)
        columns = {name: [getattr(row, name) for row in LABELS] for name in ("id", "target", "group")}
        columns |= {"question_type": pa.array([None] * 10, pa.string()), "part": ["test"] * 9 + ["unused"]}
        pq.write_table(pa.table(columns), index)
        assert [row.id for row in read_store_labels(tmp_path / "store", SPEC.id)] == [row.id for row in LABELS[:9]]
        with pytest.raises(FaultsError, match="stay9"):
            score(predictions, "--task", "SP", "--data", tmp_path / "store")
        with pytest.raises(UsageError, match="sepsis_prediction"):
            read_store_labels(tmp_path / "store", "sepsis")


class TestFaults:
    def test_every_fault_is_reported_at_once_with_its_line(self, tmp_path):
        content = lines(*GOOD[:5], {"id": "stay1", "answer": "No"}, {"id": "who", "answer": "No"})
        content += '{"id": "stay5", "answer": "No", "score": NaN}\n{"id": 6, "answer": "No"}\n'
        content += '{"id": "stay7"}\nnonsense\n'
        shown = faults_of(tmp_path / "p.jsonl", content)
        for place in (":6: id", ":7: id", ":8: ", ":9: id", ":10: answer", ":11: "):
            assert f"p.jsonl{place}" in shown, place
        assert "'stay8'" in shown and "found nan" in shown and "first on line 2" in shown

    @pytest.mark.parametrize("value", ["NaN", "Infinity", "1.5", "-0.1", "true", '"0.5"', "[1]"])
    def test_score_that_is_no_probability_is_a_fault(self, tmp_path, value):
        content = lines(*GOOD[:9]) + f'{{"id": "stay9", "answer": "No", "score": {value}}}\n'
        assert ":10" in faults_of(tmp_path / "p.jsonl", content)

    def test_truncated_last_line(self, tmp_path):
        shown = faults_of(tmp_path / "p.jsonl", lines(*GOOD)[:-12])
        assert ":10: " in shown and "the file ends in the middle of a line" in shown

    def test_mixed_encodings_are_found_by_line(self, tmp_path):
        rows = [*GOOD[:9], {"id": "stay9", "answer": "sí"}]
        good = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        shown = faults_of(tmp_path / "p.jsonl", good[:-40].encode() + good[-40:].encode("latin-1"))
        assert ":10: expected UTF-8 text; found byte 0xed" in shown

    def test_utf_16_file_is_named_as_such(self, tmp_path):
        assert "UTF-16" in faults_of(tmp_path / "p.jsonl", lines(*GOOD).encode("utf-16"))

    def test_another_tasks_file(self, tmp_path):
        content = lines(*({"id": f"image{k}", "answer": "No"} for k in range(4)))
        shown = faults_of(tmp_path / "covid_detection.jsonl", content, task=SPEC.id)
        assert "a file named after covid_detection" in shown and "none among 4" in shown

    def test_json_list_hints_at_the_released_format(self, tmp_path):
        assert "--format released" in faults_of(tmp_path / "p.jsonl", json.dumps(GOOD))

    @pytest.mark.parametrize("line", ["[" * 100_000, '{"id": ' + "9" * 5000 + "}", '{"id": "a", "id": "b"}', "7"])
    def test_odd_json_is_a_fault_not_a_traceback(self, tmp_path, line):
        assert ":2: " in faults_of(tmp_path / "p.jsonl", lines(GOOD[0]) + line + "\n" + lines(*GOOD[1:]))

    def test_misspelt_field_is_not_dropped(self, tmp_path):
        rows = [dict(row, scores=0.5) for row in GOOD]
        assert "did you mean score?" in faults_of(tmp_path / "p.jsonl", lines(*rows))

    @pytest.mark.parametrize("content", ["", "\n\n"])
    def test_empty_file(self, tmp_path, content):
        assert "predictions of 10 items" in faults_of(tmp_path / "p.jsonl", content)

    def test_thousands_of_faults_are_counted_not_listed(self, tmp_path):
        rows = [*GOOD, *({"id": f"x{k}", "answer": "No"} for k in range(500))]
        shown = faults_of(tmp_path / "p.jsonl", lines(*rows))
        assert "500 faults" in shown and "480 more" in shown and len(shown.splitlines()) < 30

    def test_byte_order_mark_and_empty_lines_are_harmless(self, tmp_path):
        path = tmp_path / "p.jsonl"
        path.write_bytes(b"\xef\xbb\xbf" + lines(*GOOD).replace("\n", "\r\n\r\n").encode())
        assert [row.id for row in read_predictions(path, labels=LABELS)] == [row.id for row in LABELS]

    def test_label_file_of_another_kind_of_task(self, tmp_path):
        write_jsonl(tmp_path / "l.jsonl", [{"id": "a", "target": "left lung", "group": "g"}])
        with pytest.raises(FaultsError, match="expected yes or no"):
            read_labels(tmp_path / "l.jsonl", SPEC)

    @pytest.mark.parametrize(
        ("rows", "found"),
        [
            ([{"id": "1", "label": "Answer: axial", "answer": "No"}], "is this a log of sepsis_prediction?"),
            ([{"id": "1", "label": "Yes"}], "item 1: answer: expected a text"),
            ([{"id": "1", "answer": "Yes"}], "item 1: label"),
            ([{"label": "No", "answer": "No", "id": "1"}] * 2, "first in item 1"),
            (["Yes"], "expected an object"),
            ({"a": 1}, "expected a JSON list"),
            ([], "an empty list"),
        ],
    )
    def test_faulty_released_log(self, tmp_path, rows, found):
        (tmp_path / "log.json").write_text(json.dumps(rows))
        with pytest.raises(FaultsError) as caught:
            read_released(tmp_path / "log.json", SPEC)
        assert caught.value.exit_code == 3 and found in str(caught.value)


class TestIndependence:
    def run(self, *arguments, **environment):
        """What the command prints in a process of its own, and the heavy modules it imported."""
        code = (
            "import sys\nfrom fedmeki_bench.cli import main\n"
            f"try:\n    main({[str(argument) for argument in arguments]!r})\nexcept SystemExit:\n    pass\n"
            "heavy = ('numpy', 'nltk', 'torch', 'datasets')\n"
            "print('imported', [name for name in heavy if name in sys.modules])"
        )
        result = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | environment,
        )
        return result.stdout

    def test_help_imports_no_library(self):
        assert self.run("score", "--help").rstrip().endswith("imported []")

    def test_yes_no_scores_are_the_same_under_every_hash_seed_and_need_no_torch(self, predictions):
        arguments = ("score", predictions, "--task", "SP", "--json", "--bootstrap", "200")
        shown = self.run(*arguments, PYTHONHASHSEED="1")
        assert shown == self.run(*arguments, PYTHONHASHSEED="2")
        assert shown.rstrip().endswith("imported ['numpy']")

    def test_text_scores_are_the_same_under_every_hash_seed_and_need_no_torch(self, tmp_path):
        pairs = [
            ("left lung", "the left lung and the lungs"),
            ("ill", "sick sick"),
            ("心脏", "心脏"),
            ("no", ""),
        ]
        log = tmp_path / "log.json"
        log.write_text(json.dumps([{"label": truth, "answer": answer} for truth, answer in pairs]))
        arguments = ("score", log, "--task", "MS", "--json", "--scoring", "legacy", "--bootstrap", "200")
        shown = self.run(*arguments, PYTHONHASHSEED="1")
        assert shown == self.run(*arguments, PYTHONHASHSEED="2")
        assert shown.rstrip().endswith("imported ['numpy', 'nltk']")


def test_evaluate_modules_load_by_path_without_a_network(no_network, monkeypatch, tmp_path):
    from fedmeki_bench.modeling.torchvision_ops import declare_missing_operators

    declare_missing_operators()
    evaluate = pytest.importorskip("evaluate")
    from fedmeki_bench.metrics.evaluate_modules import module_path

    yes_no = evaluate.load(module_path("yes_no"), SPEC.id, cache_dir=str(tmp_path))
    found = yes_no.compute(
        predictions=["Yes, it does.", "No", "?"], references=["yes", "no", "no"], scores=[0.9, 0.2, 0.3]
    )
    assert found["accuracy"] == pytest.approx(2 / 3) and found["auroc"] == 1.0 and found["n"] == 3
    text = evaluate.load(module_path("text"), "medvqa_rad", cache_dir=str(tmp_path))
    found = text.compute(predictions=["left lung", "ct"], references=["left lung", "mri"])
    assert found["exact_match"] == 0.5 and found["parse_rate"] == 1.0
