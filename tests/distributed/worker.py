"""What each of several processes does: a training step by step, then a whole run; started by `launch`.

    python -m tests.distributed.worker FOLDER STORE
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from fedmeki_bench.data import PreparedStore
from fedmeki_bench.errors import BenchError
from fedmeki_bench.methods.base import FoundationInjection
from fedmeki_bench.methods.processes import current_processes
from fedmeki_bench.modeling.foundation import FoundationModel, load_foundation_model
from fedmeki_bench.runner.config import RunConfig, resolve_config
from fedmeki_bench.runner.progress import open_display
from fedmeki_bench.runner.run import Finished, run
from fedmeki_bench.specs import load_tasks, select_tasks
from tests.examples import TASKS, make_examples, make_inputs, make_method, no_knowledge

SHARDED_METHODS = ("fedkim", "fedplug_l", "fedplug")
SIGNAL, CLINICAL, TEXT = "ecg_abnormal_detection", "mortality_prediction", "signal_noise_clarification"


def train_and_answer(
    name: str = "fedkim", foundation: FoundationModel | None = None, *, checkpointing: bool = False
) -> dict[str, Any]:
    """Two rounds without dropout, and answers of both kinds; batches of 4, so that the last one is short."""
    options = {} if name == "fedplug" else {"dropout": 0.0}
    method = make_method(
        name,
        [SIGNAL, CLINICAL],
        foundation=foundation,
        options=options,
        prediction_batch_size=3,
        gradient_checkpointing=checkpointing,
    )
    public = {SIGNAL: make_examples(SIGNAL, 6), CLINICAL: make_examples(CLINICAL, 4)}
    # Answers come first, as in a run that is continued after an interruption.
    method.predict(TASKS[SIGNAL], [make_inputs(SIGNAL, number) for number in range(3)])
    losses = [loss for number in range(2) for loss in method.inject(no_knowledge(), public, number).losses]
    answers = {}
    for task in (SIGNAL, TEXT):
        found = method.predict(TASKS[task], [make_inputs(task, number) for number in range(8)])
        answers[task] = [(one.text, one.score) for one in found]
    state = method.state_dict()
    method.close()
    return {"losses": losses, "adapter": state["adapter"], "encoders": state["encoders"], "answers": answers}


def sharded() -> FoundationModel:
    """The tiny model, each process with its part of the layers."""
    return load_foundation_model("tiny", device=torch.device("cpu"), device_map="processes")


def kept_shares(foundation: FoundationModel) -> dict[str, float]:
    """Which part of the numbers of each frozen weight this process holds."""
    shares = {}
    for name, weight in foundation.model.named_parameters():
        here = weight.to_local() if isinstance(weight, DTensor) else weight
        shares[name] = here.numel() / weight.numel()
    return shares


def refused_merge(foundation: FoundationModel) -> str:
    """The error of adding experts to weights of which no process has all."""
    method = make_method("fedkim", [SIGNAL], foundation=foundation)
    assert isinstance(method, FoundationInjection)
    try:
        method.model.merge_adapter(task=SIGNAL)
    except BenchError as error:
        return str(error)
    return "not refused"


def whole_run(store: Path, out: Path) -> Finished:
    """A tiny run of FedKIM without dropout: one task trained, one more answered."""
    return start(config(), store, out)


def config(**settings: Any) -> RunConfig:
    """The configuration of `whole_run`."""
    resolved = resolve_config(
        method="fedkim",
        method_options={"dropout": 0.0},
        profile="demo",
        tasks=tuple(select_tasks(("EAD", "SNC"), load_tasks())),
        protocols=("multi_task", "zero_shot"),
        foundation_model="tiny",
        limit=5,
        rounds=2,
        clients=2,
        device="cpu",
        **settings,
    )
    return replace(resolved, prediction_batch_size=2)


def start(config: RunConfig, store: Path, out: Path) -> Finished:
    specs = {task: TASKS[task] for task in config.tasks}
    return run(config, specs, PreparedStore.open(store, tasks=load_tasks()), out, open_display("quiet"))


def launch(count: int, folder: Path, store: Path) -> list[dict[str, Any]]:
    """Start `count` of this module as `torchrun` would, on the CPU; what each reports, by its number."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = []
    for rank in range(count):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
        meet = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
        environment = os.environ | {name: str(value) for name, value in (place | meet).items()}
        command = [sys.executable, "-m", "tests.distributed.worker", str(folder), str(store)]
        running.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    try:
        faults = [process.communicate(timeout=400)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    for process, fault in zip(running, faults, strict=True):
        assert process.returncode == 0, fault
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(count)]


def main(folder: Path, store: Path) -> None:
    processes = current_processes("cpu")
    report: dict[str, Any] = {"rank": processes.rank, "count": processes.count, **train_and_answer()}
    report["gathered"] = processes.gather([processes.rank] * (processes.rank + 1))
    report["summed"] = processes.sum(processes.rank + 1.5)
    report["agreed"] = processes.agreed(f"said by {processes.rank}")
    weights = [torch.nn.Parameter(torch.zeros(2)) for _ in range(3)]
    weights[0].grad = torch.full((2,), processes.rank + 1.0)
    if not processes.main:
        weights[1].grad = torch.ones(2)
    processes.sum_gradients(weights)
    report["gradients"] = [None if one.grad is None else one.grad.tolist() for one in weights]
    report["sharded"] = {name: train_and_answer(name, sharded()) for name in SHARDED_METHODS}
    report["checkpointed"] = train_and_answer("fedkim", sharded(), checkpointing=True)
    report["kept"] = kept_shares(sharded())
    report["merge"] = refused_merge(sharded())
    report["sharded_run"] = start(config(shard=True), store, folder / "sharded").folder.name
    report["result"] = dict(whole_run(store, folder / "runs").result["cost"]["trainable_parameters"])
    # A second time: the run is finished, and all processes must see that alike.
    report["again"] = whole_run(store, folder / "runs").folder.name
    torch.save(report, folder / f"{processes.rank}.pt")
    processes.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
