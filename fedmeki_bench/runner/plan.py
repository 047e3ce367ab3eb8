"""What a run will take, before there are weights, data or a device: parameters, traffic, memory, time.

The plan is not a formula beside the code: the method, the encoders and the foundation model are built as a
run builds them, on torch's meta device, and counted there. Layers are equal, so passes are counted on one and
on two layers. Example counts are the papers', capped by the profile's limits. What is approximate is listed
in `Plan.assumptions`.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fedmeki_bench.errors import UsageError
from fedmeki_bench.federation import state_bytes
from fedmeki_bench.methods import MethodContext
from fedmeki_bench.methods.answering import FIRST_BATCH
from fedmeki_bench.methods.base import FoundationInjection
from fedmeki_bench.methods.registry import load_method
from fedmeki_bench.modeling.client import LocalModel
from fedmeki_bench.modeling.costs import PassCost, forward_backward_cost, forward_cost
from fedmeki_bench.modeling.encoders import ClinicalScale, EncoderOptions, Encoders, build_encoders
from fedmeki_bench.modeling.foundation import FoundationModel
from fedmeki_bench.modeling.shapes import foundation_config
from fedmeki_bench.runner.config import RunConfig
from fedmeki_bench.sources.yaib import FEATURES
from fedmeki_bench.specs import ENCODED_MODALITIES, Modality, Part, TaskSpec, load_tasks

__all__ = ["Plan", "make_plan"]

CHARACTERS_PER_TOKEN = 4
QUESTION_TOKENS = 12
"""Of a text task's own question, which the spec does not hold."""
ANSWER_TOKENS = 2
LONGEST_STAY = 168
"""Hours of a sepsis stay (facts of the task; mortality has its hours in the spec)."""
TRAINED_BYTES = 16
"""Of one trained float32 parameter: itself, its gradient and Adam's two moments."""
META = torch.device("meta")


@dataclass(frozen=True)
class Plan:
    """What a run will take.

    Attributes:
        setting: method, foundation model, profile, rounds, clients, throughput, dtype, devices.
        parameters: trained parameters by part, and `foundation (frozen)`.
        traffic: bytes by direction, for a client and a round, all clients and a round, and the run.
        memory: peak bytes by stage and part.
        operations: floating-point operations by stage.
        seconds: by stage, at the given throughput.
        assumptions: what is approximate, in words.
    """

    setting: Mapping[str, Any]
    parameters: Mapping[str, int]
    traffic: Mapping[str, int]
    memory: Mapping[str, Mapping[str, int]]
    operations: Mapping[str, int]
    seconds: Mapping[str, float]
    assumptions: tuple[str, ...]


def make_plan(config: RunConfig, *, tflops: float, dtype: torch.dtype = torch.bfloat16) -> Plan:
    """Plan a run.

    Args:
        config: the run, as `resolve_config` gives it.
        tflops: sustained throughput of the device, 10^12 operations a second.
        dtype: of the foundation model's weights; adapters and encoders are float32.

    Raises:
        UsageError: an unknown model or method, a method that does not inject into a model, or no throughput.
    """
    if not tflops > 0:
        raise UsageError("--tflops must be above 0", found=tflops)
    with warnings.catch_warnings():
        # PEFT asks transformers by a name that transformers is about to retire.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        return _Planner(config, dtype).plan(tflops)


class _ApproximateTokenizer:
    """Stands in for the tokenizer: right in length, about, and otherwise meaningless."""

    eos_token_id = pad_token_id = 0

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [0] * (int(add_special_tokens) + -(-len(text) // CHARACTERS_PER_TOKEN))}


class _Planner:
    def __init__(self, config: RunConfig, dtype: torch.dtype) -> None:
        self.config, self.dtype = config, dtype
        specs = load_tasks()
        self.specs = {task: specs[task] for task in config.tasks}
        self.training = {task: spec for task, spec in self.specs.items() if spec.role == "training"}
        self.full = self._method(None)
        self.one, self.two = self._method(1), self._method(2)
        self.width = self.full.context.foundation.width

    def _method(self, layers: int | None) -> FoundationInjection:
        """The method set up on a foundation model of so many layers; None keeps them all."""
        shape = copy.deepcopy(foundation_config(self.config.foundation_model))
        # Dynamic rotary scaling looks at values, which the meta device has not; it changes no count.
        shape.rope_parameters = {"rope_type": "default", "rope_theta": 10000.0}
        shape.num_hidden_layers = layers or shape.num_hidden_layers
        method = load_method(self.config.method, dict(self.config.method_options))
        if not isinstance(method, FoundationInjection):
            raise UsageError(
                f"nothing to plan for the method {self.config.method!r}",
                expected="a method that trains on a foundation model, such as fedkim, fedplug or fedplug_l",
            )
        from transformers import AutoModelForCausalLM

        with META:
            model = AutoModelForCausalLM.from_config(shape).to(self.dtype).eval().requires_grad_(False)
            encoders = self._encoders(model.get_input_embeddings().weight.shape[1])
            foundation = FoundationModel(
                self.config.foundation_model, "shape", True, model, _ApproximateTokenizer()
            )
            method.setup(
                MethodContext(foundation, encoders, self.training, self.config.server, META, self.config.seed)
            )
        return method

    def _encoders(self, width: int) -> Encoders:
        needed = {modality for spec in self.specs.values() for modality in spec.modalities}
        scales = {
            name: ClinicalScale((0.0,) * len(names), (1.0,) * len(names)) for name, names in FEATURES.items()
        }
        wanted: list[Modality] = [modality for modality in ENCODED_MODALITIES if modality in needed]
        return build_encoders(wanted, EncoderOptions(width, scales), seed=self.config.seed)

    def plan(self, tflops: float) -> Plan:
        with META:
            local = LocalModel(self.full.context.encoders, list(self.training), width=self.width, seed=0)
            operations = self._operations()
            memory = self._memory(local)
        setting = {
            "method": self.config.method,
            "foundation_model": self.config.foundation_model,
            "profile": self.config.profile,
            "rounds": self.config.rounds,
            "clients": self.config.clients,
            "tflops": tflops,
            "dtype": str(self.dtype).removeprefix("torch."),
        }
        return Plan(
            setting=setting,
            parameters=self._parameters(local),
            traffic=self._traffic(local),
            memory=memory,
            operations=operations,
            seconds={stage: count / (tflops * 1e12) for stage, count in operations.items()},
            assumptions=ASSUMPTIONS,
        )

    def _parameters(self, local: LocalModel) -> dict[str, int]:
        parts = {f"encoder of {name}": _count(encoder) for name, encoder in local.encoders.items()}
        parts["client heads"] = _count(local.heads)
        for name, value in self.full.trainable().items():
            if name.startswith("adapter."):
                part = _adapter_part(name)
                parts[part] = parts.get(part, 0) + value.numel()
        return {**parts, "foundation model (frozen)": sum(value.numel() for value in self._frozen())}

    def _frozen(self) -> list[nn.Parameter]:
        # Adapters are wrapped into the model, whose parameters therefore include what is trained.
        trained = {id(value) for value in self.full.trainable().values()}
        return [value for value in self.full.model.parameters() if id(value) not in trained]

    def _traffic(self, local: LocalModel) -> dict[str, int]:
        one = state_bytes(local.state_dict()) if self.full.federated else 0
        clients, rounds = self.config.clients, self.config.rounds
        return {
            "one client, one round, up": one,
            "one client, one round, down": one,
            "all clients, one round, up": one * clients,
            "all clients, one round, down": one * clients,
            "whole run, both ways": 2 * one * clients * rounds,
        }

    # Passes.

    def _examples(self, spec: TaskSpec, part: Part) -> int:
        count = getattr(spec.paper, part) or 0
        return min(count, self.config.limit.get(part, count))

    def _hours(self, spec: TaskSpec) -> int:
        return spec.selection.hours or LONGEST_STAY

    def _tokens(self, spec: TaskSpec) -> int:
        """Length of the task's sequence: special token, modality tokens, prompt, answer."""
        sizes = {"image": 198, "signal": 12, "text": QUESTION_TOKENS}
        modalities = sum(sizes.get(modality, self._hours(spec)) for modality in spec.modalities)
        return 1 + modalities + len(self.full.context.foundation.tokenize(spec.prompt)) + ANSWER_TOKENS

    def _through_layers(self, cost: Callable[[FoundationInjection], PassCost]) -> PassCost:
        count = foundation_config(self.config.foundation_model).num_hidden_layers
        return cost(self.one).layers(cost(self.two), count)

    def _inputs(self, rows: int, tokens: int, *, train: bool) -> dict[str, Any]:
        return {
            "inputs_embeds": torch.empty(rows, tokens, self.width, dtype=self.dtype, requires_grad=train),
            "attention_mask": torch.empty(rows, 1, tokens, tokens, dtype=self.dtype),
            "logits_to_keep": ANSWER_TOKENS + 1 if train else 1,
            "use_cache": False,
        }

    def _training_cost(self, method: FoundationInjection, spec: TaskSpec, rows: int) -> PassCost:
        def run() -> Tensor:
            with method.training_route([spec] * rows):
                logits: Tensor = method.model(**self._inputs(rows, self._tokens(spec), train=True)).logits
            return logits

        method.model.train()
        return forward_backward_cost(run, method.model)

    def _training_pass(self, spec: TaskSpec, rows: int) -> PassCost:
        return self._through_layers(lambda method: self._training_cost(method, spec, rows))

    def _answering_pass(self, spec: TaskSpec) -> PassCost:
        """One example; a text task's tokens are decoded with a cache, so each costs what a prompt token
        does.
        """
        tokens = self._tokens(spec) + (spec.answer.max_new_tokens or 0)

        def cost(method: FoundationInjection) -> PassCost:
            method.model.eval()
            with method.answering_route(spec):
                return forward_cost(lambda: method.model(**self._inputs(1, tokens, train=False)))

        return self._through_layers(cost)

    def _encoding_pass(self, encoders: Encoders, spec: TaskSpec, rows: int, *, train: bool) -> PassCost:
        total = PassCost(0)
        for modality in spec.modalities:
            if modality == "text":
                continue
            hours, features = self._hours(spec), len(FEATURES.get(modality, ()))
            shapes = {"image": ((3, 224, 224), 198), "signal": ((12, 1000), 12)}
            shape, tokens = shapes.get(modality, ((hours, features), hours))
            values = torch.empty(rows, *shape, dtype=torch.uint8 if modality == "image" else torch.float32)
            valid, encoder = torch.ones(rows, tokens, dtype=torch.bool), encoders[modality]
            run = partial(encoder, values, valid)
            total = total + (forward_backward_cost(run, encoder) if train else forward_cost(run))
        return total

    # Sums over passes.

    def _operations(self) -> dict[str, int]:
        encoders = self.full.context.encoders
        client = server = development = test = zero_shot = 0
        for spec in self.training.values():
            encoding = self._encoding_pass(encoders, spec, 1, train=True).flops
            answering = (
                self._answering_pass(spec).flops + self._encoding_pass(encoders, spec, 1, train=False).flops
            )
            client += encoding * self._examples(spec, "private") * self.config.client.epochs
            step = self._training_pass(spec, 1).flops + encoding
            server += step * self._examples(spec, "public") * self.config.server.epochs
            development += answering * self._examples(spec, "development")
            test += answering * self._examples(spec, "test")
        for task, spec in self.specs.items():
            if task not in self.training:
                one = (
                    self._answering_pass(spec).flops
                    + self._encoding_pass(encoders, spec, 1, train=False).flops
                )
                zero_shot += one * self._examples(spec, "test")
        client = client if self.full.federated else 0
        one_round = client + server + development
        return {
            "clients, one round": client,
            "server, one round": server,
            "development data, one round": development,
            "test data, once": test,
            "zero-shot tasks, once": zero_shot,
            "multi-task and zero-shot, whole run": one_round * self.config.rounds + test + zero_shot,
            # Each example is seen as often as in multi-task, in the training of its own task.
            "single-task, all trainings": one_round * self.config.rounds + test,
        }

    def _memory(self, local: LocalModel) -> dict[str, dict[str, int]]:
        trained = self.full.trainable()
        weights = sum(value.nbytes for value in self._frozen())
        adapter = sum(p.numel() for name, p in trained.items() if name.startswith("adapter."))
        encoder = sum(p.numel() for name, p in trained.items() if name.startswith("encoders."))
        longest = max(self.training.values(), key=self._tokens)
        rows = self.config.server.micro_batch_size
        kept = self._training_pass(longest, rows).saved_bytes
        encoding = self._encoding_pass(self.full.context.encoders, longest, rows, train=True).saved_bytes
        own = {"foundation model": weights, "adapter and its optimiser": adapter * TRAINED_BYTES}
        own["encoders and their optimiser"] = encoder * TRAINED_BYTES
        batch = self.config.client.batch_size
        client = max(
            self._encoding_pass(self.full.context.encoders, spec, batch, train=True).saved_bytes
            for spec in self.training.values()
        )
        answering = {
            "foundation model": weights,
            "adapter": 4 * adapter,
            "encoders": 4 * _count(local.encoders),
        }
        answering["originals kept while a task is merged"] = self._merged_copy()
        answering["keys and values of a batch"] = self._cache()
        return {
            "server, training": _with_total({**own, f"activations of {rows} rows": kept + encoding}),
            "server, training with gradient checkpointing": _with_total(
                {**own, f"activations of {rows} rows": self._checkpointed(longest, rows) + encoding}
            ),
            "server, answering": _with_total(answering),
            "a client, training": _with_total(
                {
                    "local model and its optimiser": _count(local) * TRAINED_BYTES,
                    f"activations of {batch} rows": client,
                }
            ),
        }

    def _checkpointed(self, spec: TaskSpec, rows: int) -> int:
        """Activations with checkpointing: each layer's input, and all of the one layer being repeated."""
        layers: int = foundation_config(self.config.foundation_model).num_hidden_layers
        one = self._training_cost(self.one, spec, rows)
        inputs = rows * self._tokens(spec) * self.width * self.dtype.itemsize
        return one.saved_bytes + layers * inputs

    def _merged_copy(self) -> int:
        from fedmeki_bench.modeling.m3oe import M3OELayer

        layers = [module for module in self.full.model.modules() if isinstance(module, M3OELayer)]
        return sum(
            value.nbytes for layer in layers for value in layer.base_layer.parameters() if value.ndim == 2
        )

    def _cache(self) -> int:
        shape = foundation_config(self.config.foundation_model)
        rows = self.config.prediction_batch_size or FIRST_BATCH
        longest = max(self._tokens(spec) + (spec.answer.max_new_tokens or 0) for spec in self.specs.values())
        heads = getattr(shape, "num_key_value_heads", shape.num_attention_heads)
        dim = getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads
        numbers: int = 2 * shape.num_hidden_layers * heads * dim * rows * longest
        size: int = self.dtype.itemsize
        return numbers * size


ASSUMPTIONS = (
    "Examples by part are the papers' counts, capped by the profile's limits.",
    f"A prompt has one token for {CHARACTERS_PER_TOKEN} characters, a question {QUESTION_TOKENS} tokens, "
    f"a sepsis stay {LONGEST_STAY} hours.",
    "Attention keeps its scores, as without a fused kernel: activations are an upper bound.",
    f"Answers are given {FIRST_BATCH} at a time; on a GPU a run then grows its batches into what memory is left.",
    "Memory leaves out the allocator's reserve and the libraries' own.",
    "Time is operations over throughput: data loading, transfers and optimiser steps come on top.",
)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _adapter_part(name: str) -> str:
    if "m3oe_router" in name:
        return "router"
    return "experts" if "m3oe_" in name else "adapter"


def _with_total(parts: Mapping[str, int]) -> dict[str, int]:
    kept = {name: value for name, value in parts.items() if value}
    return {**kept, "total": sum(kept.values())}
