"""A whole run on the tiny model and a small simulated corpus: what it promises to whoever reads its result."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from fedmeki_bench.data import Inputs, Labelled, PreparedStore
from fedmeki_bench.errors import BenchError, UsageError
from fedmeki_bench.methods import Answer, InjectionReport, Knowledge, Method, MethodContext
from fedmeki_bench.modeling.cpu_products import float32_products
from fedmeki_bench.runner import run as run_module
from fedmeki_bench.runner.checkpoint import load_checkpoint, save_checkpoint
from fedmeki_bench.runner.config import RunConfig, resolve_config
from fedmeki_bench.runner.progress import open_display
from fedmeki_bench.runner.run import Finished, run
from fedmeki_bench.runner.training import TrainingData, brier_score
from fedmeki_bench.specs import TaskSpec, load_tasks, select_tasks, validate_result
from tests.examples import TASKS, make_examples

FAST = ("EAD", "MP", "EBD", "SNC")


class Interrupted(Exception):
    """Stands for a kill."""


def make_config(method: str = "fedkim", tasks: Sequence[str] = FAST, **settings: Any) -> RunConfig:
    values: dict[str, Any] = {
        "profile": "demo",
        "foundation_model": "tiny",
        "limit": 6,
        "rounds": 2,
        "clients": 2,
    } | settings
    return resolve_config(
        method=method, method_options={}, tasks=tuple(select_tasks(tasks, load_tasks())), **values
    )


def start(store: Path, out: Path, config: RunConfig | None = None) -> Finished:
    config = config or make_config()
    specs = {task: TASKS[task] for task in config.tasks}
    return run(config, specs, PreparedStore.open(store, tasks=load_tasks()), out, open_display("quiet"))


def predictions(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted((folder / "predictions").rglob("*.jsonl"))
    }


@pytest.fixture(scope="module")
def finished(simulated_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return start(simulated_store, tmp_path_factory.mktemp("runs"))


class TestTheRecord:
    def test_the_result_is_valid_and_on_disk(self, finished: Finished) -> None:
        """It satisfies its schema and is what was returned."""
        validate_result(finished.result, "result")
        assert json.loads((finished.folder / "result.json").read_text()) == finished.result

    def test_all_three_protocols_are_evaluated(self, finished: Finished) -> None:
        """Training tasks alone and together, zero-shot tasks by the multi-task model."""
        found = {(one["protocol"], one["task"]) for one in finished.result["evaluations"]}
        trained, unseen = (
            ["ecg_abnormal_detection", "mortality_prediction"],
            ["ectopic_beats_detection", "signal_noise_clarification"],
        )
        assert found == {(name, task) for name in ("single_task", "multi_task") for task in trained} | {
            ("zero_shot", task) for task in unseen
        }

    def test_simulated_data_and_random_weights_are_called_so(self, finished: Finished) -> None:
        """Nobody can mistake this for a result."""
        assert all(task["simulated"] for task in finished.result["tasks"].values())
        assert finished.result["foundation_model"]["random_weights"] is True

    def test_predictions_hold_no_labels_and_labels_lie_apart(self, finished: Finished) -> None:
        """id, answer, and for yes/no a score: nothing else."""
        for name, text in predictions(finished.folder).items():
            for line in text.splitlines():
                assert set(json.loads(line)) <= {"id", "answer", "score"}, name
        assert (finished.folder / "labels" / "mortality_prediction.jsonl").is_file()

    def test_cost_and_provenance_are_recorded(self, finished: Finished) -> None:
        """Bytes each way, parameters by part, time and memory by stage."""
        cost = finished.result["cost"]
        assert cost["bytes_up"] == cost["bytes_down"] > 0
        assert {"adapter", "encoders"} <= cost["trainable_parameters"].keys()
        stages = {stage["stage"]: stage for stage in cost["stages"]}
        assert {"clients", "injection", "development", "prediction", "scoring"} <= stages.keys()
        assert all(stage["peak_memory_bytes"] > 10_000_000 for stage in stages.values())
        assert finished.result["provenance"]["packages"]["torch"]

    def test_the_configuration_is_written_out_in_full(self, finished: Finished) -> None:
        """run.yaml holds every default, the method's too."""
        import yaml

        config = yaml.safe_load((finished.folder / "run.yaml").read_text())
        assert config == finished.result["config"] and config["client"]["learning_rate"] == 1e-3

    def test_tasks_without_data_are_named_with_the_reason(
        self, simulated_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A zero-shot task whose modality nothing trained is left out, and said so."""
        result = start(
            simulated_store,
            tmp_path,
            make_config(tasks=("EAD", "SP"), protocols=("zero_shot", "multi_task"), rounds=1),
        ).result
        assert "no training task of this run has the modality" in result["missing_tasks"]["sepsis_prediction"]


class TestSameInputSameAnswer:
    def test_two_runs_with_one_seed_give_identical_predictions(
        self, finished: Finished, simulated_store: Path, tmp_path: Path
    ) -> None:
        """Bit for bit, in the same folder name."""
        torch.manual_seed(123)
        again = start(simulated_store, tmp_path)
        assert again.folder.name == finished.folder.name
        assert predictions(again.folder) == predictions(finished.folder)

    def test_another_seed_is_another_run(self, finished: Finished, simulated_store: Path) -> None:
        """The id follows from what changes the answer, not from what changes the speed."""
        store = PreparedStore.open(simulated_store, tasks=load_tasks())

        def name(config: RunConfig) -> str:
            data = run_module.gather(config, {task: TASKS[task] for task in config.tasks}, store)
            return run_module._run_id(config, data, "random-seed-0")

        assert (
            name(make_config())
            == finished.folder.name
            == name(make_config(prediction_batch_size=1, device="cpu"))
        )
        assert (
            len(
                {
                    finished.folder.name,
                    name(make_config(seed=1)),
                    name(make_config(backbone="fedprox")),
                    name(make_config(limit=7)),
                }
            )
            == 4
        )

    def test_a_run_killed_between_rounds_ends_as_if_it_had_not_been(
        self, finished: Finished, simulated_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Resume equality: same predictions after a kill in the second round of the last training."""
        from fedmeki_bench.runner import training

        real, calls = training._development, []

        def killed(*arguments: Any) -> Mapping[str, float]:
            calls.append(1)
            if len(calls) == 6:
                raise Interrupted
            return real(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(training, "_development", killed)
            with pytest.raises(Interrupted):
                start(simulated_store, tmp_path)
        again = start(simulated_store, tmp_path)
        assert predictions(again.folder) == predictions(finished.folder)

    def test_a_finished_run_is_not_run_again(
        self, finished: Finished, simulated_store: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same command shows the result that is there."""
        monkeypatch.setattr(run_module, "_Run", None)
        assert start(simulated_store, finished.folder.parent).result == finished.result


class Spy(Method):
    """Records all it is given."""

    name = "spy"
    seen: ClassVar[list[tuple[str, Any]]] = []

    def setup(self, context: MethodContext) -> None:
        self.context = context
        self.seen.append(("setup", dict(context.tasks)))

    def inject(
        self, knowledge: Knowledge, public: Mapping[str, Sequence[Labelled]], round_index: int
    ) -> InjectionReport:
        self.seen.append(("inject", {task: [one.inputs.id for one in held] for task, held in public.items()}))
        return InjectionReport()

    def encoders(self) -> Mapping[str, torch.Tensor]:
        return self.context.encoders.state_dict()

    def predict(self, task: TaskSpec, inputs: Sequence[Inputs]) -> list[Answer]:
        self.seen.append(("predict", (task.id, [one.id for one in inputs], inputs)))
        return [Answer("Yes", 0.75) for _ in inputs]

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


    def test_the_type_of_the_frozen_weights_is_an_option_and_part_of_the_id(
        self, finished: Finished, simulated_store: Path, tmp_path: Path
    ) -> None:
        """bfloat16 is recorded, and never mistaken for the float32 run."""
        config = make_config("fedplug_l", tasks=("EAD",), rounds=1, protocols=("multi_task",), dtype="bfloat16")
        again = start(simulated_store, tmp_path, config)
        plain = start(simulated_store, tmp_path, replace(config, dtype="auto"))
        assert again.result["provenance"]["dtype"] == "bfloat16"
        assert plain.result["provenance"]["dtype"] == "float32" and plain.folder != again.folder

    def test_who_computed_the_float32_products_is_recorded(self, finished: Finished) -> None:
        """The last bits depend on it; afterwards torch is as it was."""
        with float32_products(torch.device("cpu")) as library:
            assert finished.result["provenance"]["float32_products"] == library
        assert torch.get_float32_matmul_precision() == "highest"


class TestWhatAMethodNeverSees:
    @pytest.fixture
    def seen(self, simulated_store: Path, tmp_path: Path) -> list[tuple[str, Any]]:
        Spy.seen = []
        start(simulated_store, tmp_path, make_config("tests.runner.test_run:Spy", rounds=1))
        return __import__("tests.runner.test_run", fromlist=["Spy"]).Spy.seen

    def test_zero_shot_tasks_never_reach_setup_or_inject(self, seen: list[tuple[str, Any]]) -> None:
        """Neither their specs nor their examples."""
        for call, given in seen:
            if call in ("setup", "inject"):
                assert set(given) <= {"ecg_abnormal_detection", "mortality_prediction"}

    def test_no_test_or_development_example_reaches_inject(self, seen: list[tuple[str, Any]]) -> None:
        """What is predicted was never trained on."""
        trained = {
            name for call, given in seen if call == "inject" for names in given.values() for name in names
        }
        predicted = {name for call, given in seen if call == "predict" for name in given[1]}
        assert trained and predicted and not trained & predicted

    def test_inputs_carry_no_label(self, seen: list[tuple[str, Any]]) -> None:
        """id, modalities and question; nothing else can be asked for."""
        for call, given in seen:
            if call == "predict":
                assert all(set(vars(one)) == {"id", "modalities", "question"} for one in given[2])

    def test_training_on_a_zero_shot_task_is_refused(self) -> None:
        """Even if somebody asks for it."""
        spec = TASKS["ectopic_beats_detection"]
        with pytest.raises(BenchError, match="zero-shot task may never be trained on"):
            TrainingData({spec.id: spec}, [], {}, {})


class TestBadInput:
    def test_a_wrong_number_of_answers_names_method_and_task(
        self, simulated_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before anything is written."""
        module = __import__("tests.runner.test_run", fromlist=["Spy"])
        monkeypatch.setattr(module.Spy, "predict", lambda self, task, inputs: [Answer("Yes")])
        with pytest.raises(BenchError, match=r"answer every input once[\s\S]*spy, ecg_abnormal_detection"):
            start(simulated_store, tmp_path, make_config("tests.runner.test_run:Spy", rounds=1))

    def test_a_score_that_is_no_probability_is_refused(
        self, simulated_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """NaN and 1.5 alike."""
        module = __import__("tests.runner.test_run", fromlist=["Spy"])
        for value in (1.5, float("nan")):
            monkeypatch.setattr(
                module.Spy,
                "predict",
                lambda self, task, inputs, value=value: [Answer("Yes", value)] * len(inputs),
            )
            with pytest.raises(BenchError, match="a score must be a probability"):
                start(simulated_store, tmp_path, make_config("tests.runner.test_run:Spy", rounds=1))

    def test_an_altered_checkpoint_is_noticed(self, tmp_path: Path) -> None:
        """The manifest's hash decides."""
        save_checkpoint(tmp_path / "0", {"method": {}, "local": {"weight": torch.ones(2)}}, {"history": []})
        load_checkpoint(tmp_path / "0")
        (tmp_path / "0" / "state.pt").write_bytes(b"something else")
        with pytest.raises(BenchError, match="altered"):
            load_checkpoint(tmp_path / "0")

    @pytest.mark.parametrize(
        "settings", [{"limit": 0}, {"rounds": 0}, {"clients": 0}, {"seed": -1}, {"profile": "papper"}]
    )
    def test_numbers_and_names_that_make_no_sense_are_usage_errors(self, settings: dict[str, Any]) -> None:
        """Exit code 2 and the option's name."""
        with pytest.raises(UsageError):
            make_config(**settings)


class TestProtocols:
    def test_the_paper_profile_is_the_papers_configuration(self) -> None:
        """10 rounds, 5 clients, the learning rates, batch sizes and FedProx's lambda of the papers."""
        config = make_config(profile="paper", rounds=None, clients=None, limit=None, backbone="fedprox")
        assert (config.rounds, config.clients, config.limit) == (10, 5, {})
        assert (
            config.client.learning_rate,
            config.client.batch_size,
            config.client.epochs,
            config.client.proximal,
        ) == (1e-4, 64, 1, 1e-4)
        server = config.server
        assert (server.learning_rate, server.betas, server.weight_decay) == (5e-4, (0.9, 0.95), 1e-4)
        assert (server.batch_size, server.clip, server.warmup, server.rounds) == (16, 1.0, 0.1, 10)

    def test_private_data_are_dealt_once_and_every_example_to_one_client(self, simulated_store: Path) -> None:
        """The deal is part of the data, not of the round."""
        config = make_config(clients=3, limit=7)
        store = PreparedStore.open(simulated_store, tasks=load_tasks())
        data = run_module.gather(config, {task: TASKS[task] for task in config.tasks}, store)
        rows = data.tasks["ecg_abnormal_detection"]
        assert rows.deal is not None
        dealt = [row for hand in rows.deal.clients for row in hand]
        assert sorted(dealt) == sorted(rows.used["private"]) and len(dealt) == 7

    def test_private_data_can_be_dealt_unevenly(self, simulated_store: Path) -> None:
        """A Dirichlet deal reaches the run with its concentration; another one is another deal."""
        store = PreparedStore.open(simulated_store, tasks=load_tasks())
        hashes = set()
        for settings in ({"deal": "iid"}, {"deal": "dirichlet"}, {"deal": "dirichlet", "deal_alpha": 100.0}):
            config = make_config(clients=2, limit=20, **settings)
            data = run_module.gather(config, {task: TASKS[task] for task in config.tasks}, store)
            dealt = data.tasks["ecg_abnormal_detection"].deal
            assert dealt is not None
            hashes.add(dealt.hash)
        assert len(hashes) == 3

    def test_the_selected_round_has_the_lowest_development_score(self, finished: Finished) -> None:
        """Chosen on development data; ties go to the earlier round."""
        for training in finished.result["trainings"]:
            means = [
                sum(entry["development"].values()) / len(entry["development"]) for entry in training["rounds"]
            ]
            assert training["selected_round"] == means.index(min(means))

    def test_an_unreadable_answer_counts_as_wrong_in_the_selection(self) -> None:
        """Never as a guess in either direction."""
        examples = make_examples("ecg_abnormal_detection", 2)
        spec = TASKS["ecg_abnormal_detection"]
        assert brier_score(spec, examples, [Answer("diagnosis"), Answer("none")]) == 1.0
        assert brier_score(spec, examples, [Answer("No"), Answer("Yes")]) == 0.0
        assert brier_score(spec, examples, [Answer("No", 0.5), Answer("Yes", 0.5)]) == 0.25


def test_nothing_needs_a_network(simulated_store: Path, tmp_path: Path, no_network: None) -> None:
    """Prepare, run and score with sockets blocked."""
    from fedmeki_bench.data import prepare
    from fedmeki_bench.reporting import write_run_tables

    tasks = {task: TASKS[task] for task in ("ecg_abnormal_detection",)}
    prepare(simulated_store.parent / "raw", tmp_path / "prepared", tasks=tasks)
    config = make_config("fedplug", tasks=("EAD",), rounds=1, protocols=("multi_task",))
    finished = run(
        config,
        tasks,
        PreparedStore.open(tmp_path / "prepared", tasks=tasks),
        tmp_path / "runs",
        open_display("quiet"),
    )
    assert write_run_tables(finished.result, tmp_path / "tables")


@pytest.mark.parametrize(
    "method", ["majority", "always-yes", "fedplug_l", "fedkim_pub", "fedkim_t", "fedkim_m"]
)
def test_every_method_and_ablation_runs(method: str, simulated_store: Path, tmp_path: Path) -> None:
    """One round each, multi-task and zero-shot."""
    config = make_config(method, rounds=1, protocols=("multi_task", "zero_shot"))
    options = run_module.load_method(method).config
    result = start(simulated_store, tmp_path, replace(config, method_options=options)).result
    assert len(result["evaluations"]) == 4
    if method in ("majority", "always-yes", "fedkim_pub"):
        assert result["cost"]["bytes_up"] == 0
