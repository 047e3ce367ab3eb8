"""A run's configuration: a profile, then the user's overrides, every default written out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from fedmeki_bench.data import DealScheme
from fedmeki_bench.errors import UsageError, did_you_mean
from fedmeki_bench.federation import ClientTraining
from fedmeki_bench.federation.aggregate import Weighting
from fedmeki_bench.methods import ServerTraining
from fedmeki_bench.specs import PARTS, Part

__all__ = [
    "BACKBONES",
    "DEALS",
    "PROTOCOLS",
    "Backbone",
    "Protocol",
    "RunConfig",
    "profile_names",
    "resolve_config",
]

Protocol = Literal["single_task", "multi_task", "zero_shot"]
Backbone = Literal["fedavg", "fedprox"]

PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
"""`single_task`: each training task alone; `multi_task`: all together; `zero_shot`: that model on unseen tasks."""

BACKBONES: tuple[Backbone, ...] = get_args(Backbone)

DEALS: tuple[DealScheme, ...] = get_args(DealScheme)

FEDPROX_LAMBDA = 1e-4
"""Weight of the proximal term (FedKIM, implementation details)."""


@dataclass(frozen=True)
class RunConfig:
    """What a run does. The first group decides the answer and is part of the run's id; the second only its speed.

    Attributes:
        method: name as typed.
        method_options: the method's options, defaults written out.
        foundation_model: short name, hub id or folder.
        backbone: `fedavg` or `fedprox`.
        weighting: of the clients' mean.
        protocols: which evaluations, in order.
        tasks: task ids asked for; those whose data are missing are reported as such.
        profile: the profile the settings started from.
        rounds: communication rounds.
        clients: number of clients.
        seed: of initial weights, batches and deals (the split has its own, in the spec).
        deal: how private data are dealt to clients.
        deal_alpha: concentration of a `dirichlet` or `quantity` deal; None is the deal's default.
        deal_field: demographic field of a `demographic` deal.
        limit: at most this many examples by part; parts without a limit are used whole.
        client: the clients' optimisation.
        server: the server's optimisation.
        image_weights: local file of image encoder weights; random without one.
        device: `auto`, `cpu`, `cuda` ...: speed only.
        prediction_batch_size: speed only; None: found from what memory allows.
        download: whether the foundation model may be fetched from the hub.
        dtype: of the frozen weights: `auto` (bfloat16 where the GPU has it, else float32), `float32`, `bfloat16`;
            part of the run's id, as rounding can change an answer.
        shard: whether its layers are spread over all GPUs or processes: memory only.
    """

    method: str
    method_options: Mapping[str, Any]
    foundation_model: str
    backbone: Backbone
    weighting: Weighting
    protocols: tuple[Protocol, ...]
    tasks: tuple[str, ...]
    profile: str
    rounds: int
    clients: int
    seed: int
    deal: DealScheme
    limit: Mapping[Part, int]
    client: ClientTraining
    server: ServerTraining
    image_weights: str | None = None
    deal_alpha: float | None = None
    deal_field: str | None = None
    device: str = "auto"
    prediction_batch_size: int | None = None
    download: bool = field(default=False)
    shard: bool = False
    dtype: str = "auto"

    def record(self) -> dict[str, Any]:
        """The whole configuration as plain values, for `run.yaml` and the result."""
        values = asdict(self)
        values["server"]["betas"] = list(self.server.betas)
        return {**values, "protocols": list(self.protocols), "tasks": list(self.tasks)}

    def identity(self) -> dict[str, Any]:
        """The part of the configuration that decides the answer."""
        values = self.record()
        for name in ("device", "prediction_batch_size", "download", "shard"):
            del values[name]
        del values["server"]["micro_batch_size"], values["server"]["gradient_checkpointing"]
        return values


def _profile_folder() -> Path:
    return Path(__file__).parent / "profiles"


def profile_names() -> dict[str, str]:
    """Profile name to its one-line description."""
    files = sorted(_profile_folder().glob("*.yaml"))
    return {file.stem: yaml.safe_load(file.read_text(encoding="utf-8"))["description"] for file in files}


def resolve_config(
    *,
    method: str,
    method_options: Mapping[str, Any],
    profile: str,
    tasks: tuple[str, ...],
    protocols: tuple[Protocol, ...] = PROTOCOLS,
    foundation_model: str = "smollm2-135m",
    backbone: Backbone = "fedavg",
    weighting: Weighting = "uniform",
    deal: DealScheme = "iid",
    deal_alpha: float | None = None,
    deal_field: str | None = None,
    rounds: int | None = None,
    clients: int | None = None,
    seed: int = 0,
    limit: int | None = None,
    image_weights: Path | None = None,
    device: str = "auto",
    prediction_batch_size: int | None = None,
    gradient_checkpointing: bool = False,
    download: bool = False,
    shard: bool = False,
    dtype: str = "auto",
) -> RunConfig:
    """A profile with overrides applied; `limit` replaces the profile's limits of every part.

    Raises:
        UsageError: an unknown profile, or a number that makes no sense.
    """
    if profile not in profile_names():
        raise UsageError(f"unknown profile {profile!r}", fix=did_you_mean(profile, profile_names()))
    if deal not in DEALS:
        raise UsageError(f"unknown deal {deal!r}", fix=did_you_mean(deal, DEALS))
    for name, value in (("rounds", rounds), ("clients", clients), ("limit", limit)):
        if value is not None and value < 1:
            raise UsageError(f"--{name} must be at least 1", found=value)
    if seed < 0:
        raise UsageError("--seed must not be negative", found=seed)
    values = yaml.safe_load((_profile_folder() / f"{profile}.yaml").read_text(encoding="utf-8"))
    planned = rounds or values["rounds"]
    server = ServerTraining(**values["server"], rounds=planned, gradient_checkpointing=gradient_checkpointing)
    client = ClientTraining(**values["client"])
    return RunConfig(
        method=method,
        method_options=dict(method_options),
        foundation_model=foundation_model,
        backbone=backbone,
        weighting=weighting,
        protocols=tuple(name for name in PROTOCOLS if name in protocols),
        tasks=tasks,
        profile=profile,
        rounds=planned,
        clients=clients or values["clients"],
        seed=seed,
        deal=deal,
        deal_alpha=deal_alpha,
        deal_field=deal_field,
        limit={part: limit for part in PARTS} if limit else values["limit"],
        client=replace(client, proximal=FEDPROX_LAMBDA if backbone == "fedprox" else 0.0),
        server=server,
        image_weights=str(image_weights) if image_weights else None,
        device=device,
        prediction_batch_size=prediction_batch_size,
        download=download,
        shard=shard,
        dtype=dtype,
    )
