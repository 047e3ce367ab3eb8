"""M3OE on a whole language model: PEFT's tuner with a router, routed batches and the per-task merge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from peft.tuners.tuners_utils import BaseTuner
from torch import Tensor, nn

from fedmeki_bench.errors import BenchError, FaultsError, UsageError, did_you_mean
from fedmeki_bench.modeling.m3oe.checks import (
    check_base_model,
    check_saved_tensors,
    check_targets,
    check_token_ids,
)
from fedmeki_bench.modeling.m3oe.config import Descriptions, M3OEConfig, description_faults
from fedmeki_bench.modeling.m3oe.gate import Gate, OpenGate
from fedmeki_bench.modeling.m3oe.hooks import GateHooks
from fedmeki_bench.modeling.m3oe.layer import M3OELayer
from fedmeki_bench.modeling.m3oe.quantised import keep_stored_form
from fedmeki_bench.modeling.m3oe.report import RouterReport
from fedmeki_bench.modeling.m3oe.router import Router
from fedmeki_bench.modeling.m3oe.targets import default_targets, expert_dtype

__all__ = ["M3OEModel"]


class M3OEModel(BaseTuner):  # type: ignore[misc]
    """A causal language model with M3OE in its linear layers, as `get_peft_model(base, config)` makes it.

    One router serves all layers: the weights depend on the task alone and are computed once a forward pass.

        with model.base_model.route(tasks):              # one task id a row, or one id for the whole batch
            out = model(inputs_embeds=..., attention_mask=...)
        with model.base_model.merged("covid_detection"): # the experts of one task folded into the weights
            out = model(...)
    """

    prefix = "m3oe_"
    tuner_layer_cls = M3OELayer
    # The router belongs to the model, not to a layer, so layers injected into a bare module would lack it.
    uses_shared_state = True

    _tasks: list[str] | None

    def __init__(self, model: nn.Module, config: Any, adapter_name: str, **kwargs: Any) -> None:
        # BaseTuner.__init__ initialises nn.Module and injects in one go, so what injection needs comes first,
        # as plain attributes: a module's own may not be set before nn.Module.__init__.
        early: dict[str, Any] = {"gate": Gate(), "_routers": nn.ModuleDict(), "_added": {}, "_tasks": None}
        early["_adapted"] = []
        for name, value in early.items():
            object.__setattr__(self, name, value)
        super().__init__(model, config, adapter_name, **kwargs)
        self.m3oe_router = self._routers
        self._one_task = False
        self._hooks = GateHooks(self.model, self.gate, self._opening)

    # Building: what PEFT asks of a tuner.

    def _prepare_adapter_config(self, peft_config: M3OEConfig, model_config: Mapping[str, Any]) -> M3OEConfig:
        check_base_model(peft_config, self.model)
        if peft_config.target_modules is None:
            peft_config.target_modules = default_targets(self.model)
        check_targets(peft_config, self.model, self._check_target_module_exists)
        keep_stored_form(self.model)
        return peft_config

    def _create_and_replace(
        self,
        peft_config: M3OEConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        if isinstance(target, M3OELayer):
            target.update_layer(adapter_name, peft_config)
            return
        layer = M3OELayer(target, self.gate, current_key, adapter_name, peft_config)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        """Put the experts of one adapter into the layers and build its router."""
        embedding = self.model.get_input_embeddings()
        # The router first: injection ends by activating adapters, which decides what trains, router included.
        self._routers[adapter_name] = Router(
            self.peft_config[adapter_name],
            embedding.weight.shape[1],
            device=embedding.weight.device,
            dtype=expert_dtype(embedding, "input embeddings"),
        )
        try:
            super().inject_adapter(model, adapter_name, *args, **kwargs)
        except BenchError:
            del self._routers[adapter_name]
            raise
        # Kept, as walking through all modules before each forward pass takes longer than routing.
        self._adapted = list(self.layers().values())

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: nn.Module, config: M3OEConfig, adapter_name: str, state_dict: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        remapped: dict[str, Tensor] = super()._remap_adapter_state_dict_for_load(
            model, config, adapter_name, state_dict
        )
        check_saved_tensors(model, adapter_name, remapped)
        return remapped

    # Adapters: what PEFT does to the layers is done to the routers too.

    def set_adapter(self, adapter_name: str | list[str], inference_mode: bool = False) -> None:
        """Activate one or several adapters; the others' experts and routers are frozen."""
        super().set_adapter(adapter_name, inference_mode=inference_mode)
        for name, router in self._routers.items():
            router.requires_grad_(name in self.active_adapters and not inference_mode)

    def set_requires_grad(self, adapter_names: str | Sequence[str], requires_grad: bool = True) -> None:
        """Train or freeze the experts and routers of some adapters."""
        super().set_requires_grad(adapter_names, requires_grad)
        for name in [adapter_names] if isinstance(adapter_names, str) else adapter_names:
            self._routers[name].requires_grad_(requires_grad)

    def delete_adapter(self, adapter_name: str) -> None:
        """Remove an adapter: its experts, its router, its configuration."""
        super().delete_adapter(adapter_name)
        del self._routers[adapter_name]
        self._added.pop(adapter_name, None)

    def layers(self) -> dict[str, M3OELayer]:
        """The adapted layers by name."""
        return {name: layer for name, layer in self.model.named_modules() if isinstance(layer, M3OELayer)}

    # Routing.

    def add_descriptions(self, descriptions: Descriptions, adapter_name: str | None = None) -> None:
        """Make further tasks known to the router, for prediction: they are not saved with the adapter.

        Raises:
            FaultsError: a description is empty or holds no token ids.
            UsageError: a task is known with another description, or an id is beyond the vocabulary.
        """
        adapter = adapter_name or self.active_adapters[0]
        faults = description_faults(descriptions, self.peft_config[adapter])
        if faults:
            raise FaultsError("wrong descriptions for the router", faults)
        check_token_ids(descriptions, self.model)
        known = self._descriptions(adapter)
        for task, sides in descriptions.items():
            entry = {side: list(ids) for side, ids in sides.items()}
            if task in known and known[task] != entry:
                raise UsageError("the task is known with another description", where=task)
            self._added.setdefault(adapter, {})[task] = entry

    def _descriptions(self, adapter: str) -> dict[str, dict[str, list[int]]]:
        return {**self.peft_config[adapter].descriptions, **self._added.get(adapter, {})}

    def expert_weights(self, tasks: Sequence[str], adapter_name: str | None = None) -> Tensor:
        """alpha of Eq. 4 for some tasks, (tasks, P), with gradients to the router.

        Raises:
            UsageError: the router has no description of a task.
        """
        adapter = adapter_name or self.active_adapters[0]
        known = self._descriptions(adapter)
        for task in tasks:
            if task not in known:
                raise UsageError(
                    f"the router has no description of the task {task!r}",
                    where=f"adapter {adapter!r}",
                    fix=f"{did_you_mean(task, known)}; a new task is added with add_descriptions",
                )
        weights: Tensor = self._routers[adapter](
            [known[task].get("task", []) for task in tasks],
            [known[task].get("modalities", []) for task in tasks],
            self.model.get_input_embeddings(),
        )
        return weights

    def router_report(self, tasks: Sequence[str], adapter_name: str | None = None) -> RouterReport:
        """Expert weights of some tasks as plain data, with entropy and usage."""
        adapter = adapter_name or self.active_adapters[0]
        with torch.no_grad():
            weights = self.expert_weights(tasks, adapter).tolist()
        return RouterReport(adapter, list(tasks), dict(zip(tasks, weights, strict=True)))

    @contextmanager
    def route(self, tasks: str | Sequence[str]) -> Iterator[None]:
        """Forward passes inside the block are about these tasks.

        Args:
            tasks: one task id for all rows, or one id for each row of the batch.
        """
        if not tasks:
            raise UsageError("route() was given no task", expected="a task id, or one for each row")
        before = self._tasks, self._one_task
        self._tasks, self._one_task = ([tasks], True) if isinstance(tasks, str) else (list(tasks), False)
        try:
            yield
        finally:
            self._tasks, self._one_task = before

    def _opening(self, inputs: Mapping[str, Any]) -> OpenGate | None:
        """The gate for a forward pass; None if no task is routed or no layer would ask."""
        if self._tasks is None:
            return None
        if all(layer.merged or layer.is_folded or layer.disable_adapters for layer in self._adapted):
            return None
        embeddings = inputs.get("inputs_embeds")
        first = inputs.get("input_ids") if embeddings is None else embeddings
        if not self._one_task and isinstance(first, Tensor) and first.shape[0] != len(self._tasks):
            raise UsageError(
                "the batch does not fit the tasks of `route`",
                expected=f"{len(self._tasks)} rows, one a task",
                found=f"a batch of shape {tuple(first.shape)}",
                fix="give one task id for the whole batch, or exactly one for each row",
            )
        return self._open_gate(self._tasks)

    def _open_gate(self, tasks: Sequence[str]) -> OpenGate:
        return OpenGate({adapter: self._columns(adapter, tasks) for adapter in self.active_adapters})

    def _columns(self, adapter: str, tasks: Sequence[str]) -> Tensor:
        """Factors of the inner columns, (rows, 1, P r); one row if all tasks are the same."""
        config = self.peft_config[adapter]
        distinct = list(dict.fromkeys(tasks))
        weights = self.expert_weights(distinct, adapter)
        columns: Tensor = weights.repeat_interleave(config.r, dim=1) * config.scaling
        if len(distinct) > 1:
            columns = columns[[distinct.index(task) for task in tasks]]
        return columns[:, None, :]

    # Folding one task's experts into the weights.

    @contextmanager
    def merged(self, task: str, into: Literal["auto", "weights", "pair"] = "auto") -> Iterator[None]:
        """Inside the block the model is that of one task, at the base model's speed; afterwards as before.

        Args:
            task: the task whose experts are folded.
            into: `weights` adds them to the weights and keeps the originals aside, a second copy of the
                adapted weights for as long as the block lasts, put back bit for bit; `pair` leaves the
                weights alone and folds the router's weights into B, rank P r beside each layer; `auto`
                takes the weights unless a layer is quantised or sharded over processes.
        """
        layers = list(self.layers().values())
        if any(layer.merged or layer.is_folded for layer in layers):
            raise UsageError("experts are merged already", fix="unmerge them before merging another task")
        untouchable = any(layer.merge_obstacle for layer in layers)
        undo: Callable[[M3OELayer], None]
        if into == "pair" or (into == "auto" and untouchable):
            with self._gate_for(task):
                for layer in layers:
                    for adapter in self.active_adapters:
                        layer.fold(adapter)
            undo = M3OELayer.unfold
        else:
            self.merge_adapter(task=task)
            undo = M3OELayer.unmerge
        try:
            yield
        finally:
            for layer in layers:
                undo(layer)

    def merge_adapter(
        self, adapter_names: list[str] | None = None, safe_merge: bool = False, *, task: str | None = None
    ) -> None:
        """PEFT's merge, for one task: named here or by `route`. Undone by `unmerge_adapter`."""
        for layer in self.layers().values():
            layer.check_mergeable()
        try:
            with self._gate_for(task):
                super().merge_adapter(adapter_names, safe_merge)
        except BenchError:
            # A refusal half way (a weight that is not finite) leaves no layer merged.
            for layer in self.layers().values():
                if layer.merged:
                    layer.unmerge()
            raise

    def merge_and_unload(
        self,
        progressbar: bool = False,
        safe_merge: bool = False,
        adapter_names: list[str] | None = None,
        *,
        task: str | None = None,
    ) -> nn.Module:
        """The plain base model with one task's experts in its weights, named here or by `route`."""
        self.merge_adapter(adapter_names, safe_merge, task=task)
        return self._unload_and_optionally_merge(merge=False, progressbar=progressbar)

    def _unload_and_optionally_merge(self, *args: Any, **kwargs: Any) -> nn.Module:
        model: nn.Module = super()._unload_and_optionally_merge(*args, **kwargs)
        self._hooks.remove()
        return model

    @contextmanager
    def _gate_for(self, task: str | None) -> Iterator[None]:
        tasks = self._tasks if task is None else [task]
        if tasks is None or len(set(tasks)) != 1:
            raise UsageError(
                "experts are merged for one task at a time",
                expected="task=..., or the call inside `with model.base_model.route(task):`",
                found="no task" if tasks is None else ", ".join(dict.fromkeys(tasks)),
            )
        with torch.no_grad():
            self.gate.now = self._open_gate(tasks[:1])
        try:
            yield
        finally:
            self.gate.now = None
