"""M3OE on a whole language model: PEFT's tuner with the router, the routing of batches and the per-task merge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from peft.tuners.tuners_utils import BaseTuner
from torch import Tensor, nn

from fedmeki_bench.errors import BenchError, FaultsError, UsageError, did_you_mean
from fedmeki_bench.modeling.m3oe.config import Descriptions, M3OEConfig, description_faults
from fedmeki_bench.modeling.m3oe.gate import Gate, OpenGate, in_backward, pass_gradient_on
from fedmeki_bench.modeling.m3oe.layer import M3OELayer
from fedmeki_bench.modeling.m3oe.report import RouterReport
from fedmeki_bench.modeling.m3oe.router import Router
from fedmeki_bench.modeling.m3oe.targets import default_targets, floating_dtype, is_linear

__all__ = ["M3OEModel"]


class M3OEModel(BaseTuner):  # type: ignore[misc]
    """A causal language model with M3OE in its linear layers; `get_peft_model(base, M3OEConfig(...))` makes one.

    One router serves all layers: its weights depend on the task alone, so they are computed once a forward pass.

        with model.base_model.route(tasks):                  # one task id a row, or one id for the whole batch
            out = model(inputs_embeds=..., attention_mask=...)
        with model.base_model.merged("covid_detection"):     # the experts of one task folded into the weights
            out = model(...)
    """

    prefix = "m3oe_"
    tuner_layer_cls = M3OELayer
    # The router belongs to the model, not to a layer, so layers injected into a bare module would lack it.
    uses_shared_state = True

    def __init__(self, model: nn.Module, config: Any, adapter_name: str, **kwargs: Any) -> None:
        # BaseTuner.__init__ initialises nn.Module and then injects, so what injection needs is set before, plainly.
        plain: dict[str, Any] = {"gate": Gate(), "_routers": nn.ModuleDict(), "_added": {}, "_hooks": []}
        plain |= {"_tasks": None, "_one_task": False, "_opener": None}
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        super().__init__(model, config, adapter_name, **kwargs)
        self.m3oe_router = self._routers
        self._register_hooks()

    # Building: what PEFT asks of a tuner.

    def _prepare_adapter_config(self, peft_config: M3OEConfig, model_config: Mapping[str, Any]) -> M3OEConfig:
        if peft_config.target_modules is None:
            peft_config.target_modules = default_targets(self.model)
        self._check_base_model(peft_config)
        names = [name for name, _ in self.model.named_modules() if ".base_layer" not in f".{name}"]
        if not any(self._check_target_module_exists(peft_config, name) for name in names if name):
            linear = sorted({name.rpartition(".")[2] for name, module in self.model.named_modules() if is_linear(module)})
            raise UsageError(
                f"no layer of {type(self.model).__name__} matches target_modules",
                expected=f"names among {', '.join(linear)}",
                found=peft_config.target_modules,
                fix="leave target_modules out to adapt every linear layer of attention and MLP",
            )
        return peft_config

    def _check_base_model(self, config: M3OEConfig) -> None:
        embedding = self.model.get_input_embeddings()
        vocabulary, width = embedding.weight.shape
        read = getattr(self.model, "config", None)
        shape = {
            "model_type": getattr(read, "model_type", None),
            "layers": getattr(read, "num_hidden_layers", None),
            "width": width,
            "vocabulary": vocabulary,
        }
        if config.base_model_shape is None:
            config.base_model_shape = shape
        elif config.base_model_shape != shape:
            raise UsageError(
                "the adapter was made for another base model",
                expected=config.base_model_shape,
                found=shape,
                fix=f"load it on the model it was trained with: {config.base_model_name_or_path or 'not recorded'}",
            )
        self._check_ids(config.descriptions)

    def _check_ids(self, descriptions: Descriptions) -> None:
        vocabulary = self.model.get_input_embeddings().weight.shape[0]
        for task, sides in descriptions.items():
            largest = max((index for ids in sides.values() for index in ids), default=0)
            if largest >= vocabulary:
                raise UsageError(
                    "a description holds a token id that the base model does not have",
                    where=f"descriptions of {task}",
                    expected=f"ids below {vocabulary}",
                    found=largest,
                    fix="tokenise the descriptions with the base model's own tokenizer",
                )

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
        if not is_linear(target):
            raise UsageError(
                "M3OE adapts linear layers only",
                where=current_key,
                expected="torch.nn.Linear, transformers' Conv1D, or a quantised linear layer",
                found=type(target).__name__,
                fix="leave this layer out with target_modules or exclude_modules",
            )
        layer = M3OELayer(target, self.gate, current_key, adapter_name, peft_config)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        """Put the experts of one adapter into the layers and build its router."""
        config = self.peft_config[adapter_name]
        # The router first: injection ends by activating adapters, which sets what trains, router included.
        embedding = self.model.get_input_embeddings()
        self._routers[adapter_name] = Router(
            config,
            embedding.weight.shape[1],
            device=embedding.weight.device,
            dtype=floating_dtype(embedding, "input embeddings"),
        )
        try:
            super().inject_adapter(model, adapter_name, *args, **kwargs)
        except BenchError:
            del self._routers[adapter_name]
            raise

    def _register_hooks(self) -> None:
        # A server that needs hidden states calls the decoder without its head, so both are entrances.
        entrances = {id(module): module for module in (self.model, getattr(self.model, "base_model", self.model))}
        for module in entrances.values():
            self._hooks.append(module.register_forward_pre_hook(self._open, with_kwargs=True))
            self._hooks.append(module.register_forward_hook(self._close, always_call=True))
        self._hooks.append(self.model.get_input_embeddings().register_forward_hook(self._tie_embeddings))

    def _layers(self) -> list[M3OELayer]:
        return [module for module in self.model.modules() if isinstance(module, M3OELayer)]

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

    # Routing.

    def add_descriptions(self, descriptions: Descriptions, adapter_name: str | None = None) -> None:
        """Make further tasks known to the router, for prediction only: they are not saved with the adapter.

        Raises:
            FaultsError: a description is empty or holds no token ids.
            UsageError: a task is known with another description.
        """
        adapter = adapter_name or self.active_adapters[0]
        faults = description_faults(descriptions, self.peft_config[adapter])
        if faults:
            raise FaultsError("wrong descriptions for the router", faults)
        self._check_ids(descriptions)
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
                    fix=f"{did_you_mean(task, known)} Otherwise add it with add_descriptions",
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
        """Forward passes inside the block answer these tasks.

        Args:
            tasks: one task id for all rows, or one id for each row of the batch.
        """
        before = self._tasks
        self._tasks = [tasks] if isinstance(tasks, str) else list(tasks)
        self._one_task = isinstance(tasks, str)
        if not self._tasks:
            self._tasks = before
            raise UsageError("route() was given no task", expected="a task id, or one for each row of the batch")
        try:
            yield
        finally:
            self._tasks = before

    def _columns(self, adapter: str, tasks: Sequence[str]) -> Tensor:
        """Factors of the inner columns, (rows, 1, P r); one row if all tasks are the same."""
        config = self.peft_config[adapter]
        distinct = list(dict.fromkeys(tasks))
        weights = self.expert_weights(distinct, adapter).repeat_interleave(config.r, dim=1) * config.scaling
        if len(distinct) > 1:
            rows = [distinct.index(task) for task in tasks]
            weights = weights[torch.tensor(rows, device=weights.device)]
        return weights[:, None, :]

    def _open_gate(self, tasks: Sequence[str]) -> OpenGate:
        return OpenGate({adapter: self._columns(adapter, tasks) for adapter in self.active_adapters})

    # Hooks: they also see calls that bypass this class, such as `generate`.

    def _open(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any] | None:
        if self._tasks is None or self.gate.now is not None or in_backward():
            return None
        if all(layer.merged or layer.has_folded or layer.disable_adapters for layer in self._layers()):
            return None
        self._check_rows(args, kwargs)
        self.gate.now, self._opener = self._open_gate(self._tasks), module
        embeddings = kwargs.get("inputs_embeds")
        if embeddings is not None and self._needs_tie(self.gate.now):
            kwargs = {**kwargs, "inputs_embeds": pass_gradient_on(embeddings, self.gate.now)}
        return args, kwargs

    def _close(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if module is not self._opener:
            return
        opened, self.gate.now, self._opener = self.gate.now, None, None
        if opened is not None and self._needs_tie(opened):
            self._announce_backward(output, opened)

    def _announce_backward(self, output: Any, opened: OpenGate) -> None:
        """When a backward pass enters this output, recomputed layers must use this forward pass's gate.

        Two forward passes may wait for one backward pass; autograd finishes the later one before it enters the other.
        """

        def announce(gradient: Tensor) -> None:
            self.gate.replay = opened

        values = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple) else [output]
        for value in values:
            if isinstance(value, Tensor) and value.requires_grad:
                value.register_hook(announce)

    def _tie_embeddings(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        opened = self.gate.now
        return pass_gradient_on(output, opened) if opened is not None and self._needs_tie(opened) else None

    def _needs_tie(self, opened: OpenGate) -> bool:
        checkpointing = self.model.training and getattr(self.model, "is_activation_checkpointing", False)
        trains = any(columns.requires_grad for columns in opened.columns.values())
        return bool(checkpointing and trains and torch.is_grad_enabled())

    def _check_rows(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        first = args[0] if args else kwargs.get("inputs_embeds", kwargs.get("input_ids"))
        if self._one_task or not isinstance(first, Tensor) or first.shape[0] == len(self._tasks):
            return
        raise UsageError(
            "the batch does not fit the tasks of `route`",
            expected=f"{len(self._tasks)} rows, one a task",
            found=f"a batch of shape {tuple(first.shape)}",
            fix="give one task id for the whole batch, or exactly one for each row",
        )

    # Folding one task's experts into the weights.

    @contextmanager
    def merged(self, task: str, into: Literal["auto", "weights", "pair"] = "auto") -> Iterator[None]:
        """Inside the block the model answers one task at the base model's speed; afterwards it is as before, bit for bit.

        Args:
            task: the task whose experts are folded.
            into: `weights` adds them to the weights and keeps the originals aside (a second copy of the adapted
                weights for as long as the block lasts); `pair` leaves the weights alone and folds the router's
                weights into B (rank P r beside each layer, hardly any memory); `auto` takes the weights unless a
                layer is quantised.
        """
        layers = self._layers()
        quantised = any(layer.quantization_backend is not None for layer in layers)
        if any(layer.merged or layer.has_folded for layer in layers):
            raise UsageError("experts are merged already", fix="unmerge them before merging another task")
        if into == "pair" or (into == "auto" and quantised):
            with self._gate_for(task):
                for layer in layers:
                    for adapter in self.active_adapters:
                        layer.fold(adapter)
            undo: Callable[[M3OELayer], None] = M3OELayer.unfold
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
        try:
            with self._gate_for(task):
                super().merge_adapter(adapter_names, safe_merge)
        except BenchError:
            # A refusal half way (a quantised or broken layer) leaves no layer merged.
            for layer in self._layers():
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
        """The plain base model with one task's experts in its weights; the task is named here or by `route`."""
        with self._gate_for(task):
            model: nn.Module = super().merge_and_unload(progressbar, safe_merge, adapter_names)
        self._remove_hooks()
        return model

    def unload(self) -> nn.Module:
        """The plain base model, without the experts."""
        model: nn.Module = super().unload()
        self._remove_hooks()
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

    def _remove_hooks(self) -> None:
        while self._hooks:
            self._hooks.pop().remove()
