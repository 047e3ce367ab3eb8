"""Two processes that talk through gloo give what one process gives."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fedmeki_bench.errors import UsageError
from fedmeki_bench.methods.processes import Processes, current_processes
from fedmeki_bench.specs import validate_result
from tests.distributed.worker import SHARDED_METHODS, config, launch, start, train_and_answer, whole_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("distributed")


@pytest.fixture(scope="module")
def reports(folder: Path, simulated_store: Path) -> list[dict[str, Any]]:
    return launch(2, folder, simulated_store)


class TestTwoProcesses:
    @pytest.fixture(scope="class")
    def alone(self) -> dict[str, Any]:
        return train_and_answer()

    def test_losses_are_those_of_one_process(
        self, reports: list[dict[str, Any]], alone: dict[str, Any]
    ) -> None:
        """Every step's, in both processes."""
        assert [report["count"] for report in reports] == [2, 2]
        for report in reports:
            assert report["losses"] == pytest.approx(alone["losses"], rel=1e-5)

    @pytest.mark.parametrize("part", ["adapter", "encoders"])
    def test_weights_are_those_of_one_process_and_bitwise_alike(
        self, reports: list[dict[str, Any]], alone: dict[str, Any], part: str
    ) -> None:
        """After two rounds, with batches in which a process has no example of some modality."""
        for name, value in alone[part].items():
            torch.testing.assert_close(reports[0][part][name], value, rtol=1e-5, atol=1e-5)
            assert torch.equal(reports[0][part][name], reports[1][part][name]), name

    def test_answers_are_those_of_one_process(
        self, reports: list[dict[str, Any]], alone: dict[str, Any]
    ) -> None:
        """All of them in each process, in order; the same words, scores to 1e-5."""
        for report in reports:
            assert_same_answers(report["answers"], alone["answers"])

    def test_a_whole_run_gives_the_predictions_of_one_process_and_is_written_once(
        self, reports: list[dict[str, Any]], folder: Path, simulated_store: Path, tmp_path: Path
    ) -> None:
        """Same run id, same answers, a valid record, a single set of files."""
        alone = whole_run(simulated_store, tmp_path)
        together = folder / "runs" / alone.folder.name
        assert [report["again"] for report in reports] == [together.name] * 2
        assert _files(together) == _files(alone.folder)
        result = json.loads((together / "result.json").read_text())
        validate_result(result, "result")
        assert result["provenance"]["device"].startswith("2 x cpu")
        assert [report["result"] for report in reports] == [result["cost"]["trainable_parameters"]] * 2
        assert_same_predictions(together, alone.folder)

    def test_gradients_are_summed_and_one_that_nobody_has_stays_absent(
        self, reports: list[dict[str, Any]]
    ) -> None:
        """Zeros instead would let the optimiser's moments and weight decay move what was not trained."""
        for report in reports:
            assert report["gradients"] == [[3.0, 3.0], [1.0, 1.0], None]

    def test_values_are_gathered_in_order_summed_and_taken_over_from_the_main_process(
        self, reports: list[dict[str, Any]]
    ) -> None:
        """In both processes alike."""
        for report in reports:
            assert (report["gathered"], report["summed"]) == ([0, 1, 1], 4.0)
            assert report["agreed"] == "said by 0"


class TestShardedModel:
    """Each of the two processes holds a part of every layer; they must take every pass through it together."""

    @pytest.fixture(scope="class")
    def alone(self) -> dict[str, dict[str, Any]]:
        return {name: train_and_answer(name) for name in SHARDED_METHODS}

    def test_each_process_keeps_half_of_every_layer(self, reports: list[dict[str, Any]]) -> None:
        """Embeddings, the last norm and the output layer are whole in both."""
        for report in reports:
            layers = {name: share for name, share in report["kept"].items() if ".layers." in name}
            assert layers and set(layers.values()) == {0.5}
            assert {share for name, share in report["kept"].items() if name not in layers} == {1.0}

    @pytest.mark.parametrize("name", SHARDED_METHODS)
    def test_losses_and_weights_are_those_of_the_whole_model(
        self, reports: list[dict[str, Any]], alone: dict[str, dict[str, Any]], name: str
    ) -> None:
        """Also where answers were given before training, and where one process has a micro-batch more."""
        for report in reports:
            found, wanted = report["sharded"][name], alone[name]
            assert found["losses"] == pytest.approx(wanted["losses"], rel=1e-5)
            for part in ("adapter", "encoders"):
                assert found[part].keys() == wanted[part].keys()
                for key, value in wanted[part].items():
                    torch.testing.assert_close(found[part][key], value, rtol=1e-5, atol=1e-5)

    def test_checkpointed_layers_are_fetched_again(
        self, reports: list[dict[str, Any]], alone: dict[str, dict[str, Any]]
    ) -> None:
        """Both ways of saving memory together: a layer computed again in the backward pass is gathered again."""
        for report in reports:
            assert report["checkpointed"]["losses"] == pytest.approx(alone["fedkim"]["losses"], rel=1e-5)

    @pytest.mark.parametrize("name", SHARDED_METHODS)
    def test_answers_are_those_of_the_whole_model(
        self, reports: list[dict[str, Any]], alone: dict[str, dict[str, Any]], name: str
    ) -> None:
        """By likelihood and by decoding, whose answers end at different steps; FedKIM folds its experts beside."""
        for report in reports:
            assert_same_answers(report["sharded"][name]["answers"], alone[name]["answers"])

    def test_a_whole_run_differs_in_nothing_but_rounding(
        self, reports: list[dict[str, Any]], folder: Path
    ) -> None:
        """Same id: sharding is no part of it."""
        assert {report["sharded_run"] for report in reports} == {reports[0]["again"]}
        run = folder / "sharded" / reports[0]["again"]
        assert_same_predictions(run, folder / "runs" / run.name)
        result = json.loads((run / "result.json").read_text())
        assert result["provenance"]["device"].startswith("2 x cpu")

    def test_merging_into_the_weights_is_refused_by_name(self, reports: list[dict[str, Any]]) -> None:
        """No process has a whole weight to merge into."""
        for report in reports:
            assert "experts cannot be merged into a sharded layer" in report["merge"]
            assert "model.layers.0.self_attn.q_proj" in report["merge"]


Answers = dict[str, list[tuple[str, float | None]]]


def assert_same_answers(found: Answers, wanted: Answers) -> None:
    """The same words, scores to 1e-5."""
    assert found.keys() == wanted.keys()
    for task, expected in wanted.items():
        assert [text for text, _ in found[task]] == [text for text, _ in expected]
        for (_, score), (_, other) in zip(found[task], expected, strict=True):
            assert score == (None if other is None else pytest.approx(other, abs=1e-5))


def assert_same_predictions(run: Path, other: Path) -> None:
    """The same files of predictions, the same lines, scores to 1e-5."""
    assert _files(run) == _files(other)
    for path in sorted((other / "predictions").rglob("*.jsonl")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        others = (run / path.relative_to(other)).read_text().splitlines()
        for wanted, found in zip(lines, map(json.loads, others), strict=True):
            assert found | {"score": 0} == wanted | {"score": 0}
            assert found.get("score", 0) == pytest.approx(wanted.get("score", 0), abs=1e-5)


def _files(run: Path) -> list[str]:
    return sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())


class TestOneProcess:
    def test_it_is_alone_unless_a_launcher_says_otherwise(self) -> None:
        """Everything is its own share."""
        processes = current_processes()
        assert (processes.rank, processes.count, processes.main) == (0, 1, True)
        assert processes.share([1, 2, 3]) == [1, 2, 3] == processes.gather([1, 2, 3])
        assert processes.device("cuda:1") == "cuda:1"

    def test_variables_that_name_others_but_not_how_to_find_them_are_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Some schedulers set WORLD_SIZE for their own purposes."""
        monkeypatch.setenv("WORLD_SIZE", "4")
        monkeypatch.delenv("RANK", raising=False)
        with pytest.raises(UsageError, match="no RANK"):
            current_processes()

    def test_sharding_without_a_gpu_is_a_usage_error(self, simulated_store: Path, tmp_path: Path) -> None:
        """It spreads a model over GPUs."""
        if torch.cuda.is_available():
            pytest.skip("there is a GPU here")
        with pytest.raises(UsageError, match="no CUDA device"):
            start(config(shard=True), simulated_store, tmp_path)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shares_are_disjoint_and_cover_everything(count: int) -> None:
    """Also where there is less than one element for each."""
    states = [SimpleNamespace(process_index=rank, num_processes=count) for rank in range(count)]
    for length in (0, 2, 7):
        shares = [list(Processes(state).share(range(length))) for state in states]
        assert sorted(row for share in shares for row in share) == list(range(length))


def test_one_gpu_for_all_processes_is_refused() -> None:
    """Each takes its own."""
    state = SimpleNamespace(process_index=0, num_processes=2, device=torch.device("cpu"))
    assert Processes(state).device("auto") == "cpu"
    with pytest.raises(UsageError, match="cannot share one device"):
        Processes(state).device("cuda:1")
