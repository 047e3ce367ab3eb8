"""The forward hooks that open and close the gate, so that every way into the base model goes through them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fedmeki_bench.modeling.m3oe.gate import Gate, OpenGate, in_backward, pass_gradient_on

__all__ = ["GateHooks"]

Inputs = tuple[tuple[Any, ...], dict[str, Any]]


class GateHooks:
    """Opens the gate before a forward pass of the base model and closes it afterwards.

    As hooks they also see calls that do not go through the adapter's own `forward`: `generate`, and the
    decoder called without its head, as a server does that needs few logits.

    Args:
        model: the base model.
        gate: what the layers hold.
        opening: called with the inputs of a forward pass; gives the expert weights, or None to leave it shut.
    """

    def __init__(
        self, model: nn.Module, gate: Gate, opening: Callable[[Mapping[str, Any]], OpenGate | None]
    ) -> None:
        self.model, self.gate, self.opening = model, gate, opening
        self._entrance: nn.Module | None = None
        decoder = getattr(model, "base_model", model)
        self._handles: list[RemovableHandle] = []
        for entrance in [model] if decoder is model else [model, decoder]:
            self._handles.append(entrance.register_forward_pre_hook(self._open, with_kwargs=True))
            self._handles.append(entrance.register_forward_hook(self._close, always_call=True))
        embeddings: nn.Module = model.get_input_embeddings()  # type: ignore[operator]
        self._handles.append(embeddings.register_forward_hook(self._tie_embeddings))

    def remove(self) -> None:
        """Take the hooks off the base model."""
        while self._handles:
            self._handles.pop().remove()

    def _open(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Inputs | None:
        if self.gate.now is not None or in_backward():
            return None
        opened = self.opening({**kwargs, "input_ids": args[0]} if args else kwargs)
        if opened is None:
            return None
        self.gate.now, self._entrance = opened, module
        embeddings = kwargs.get("inputs_embeds")
        if embeddings is not None and _trains(opened):
            kwargs = {**kwargs, "inputs_embeds": pass_gradient_on(embeddings, opened)}
        return args, kwargs

    def _close(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        opened = self.gate.now
        if opened is None or module is not self._entrance:
            return
        self.gate.now = self._entrance = None
        if _trains(opened):
            self._announce_backward(output, opened)

    def _announce_backward(self, output: Any, opened: OpenGate) -> None:
        """When a backward pass enters this output, recomputed layers must use this forward pass's weights.

        Two forward passes may wait for one backward pass; autograd finishes the later before the earlier.
        """

        def announce(gradient: Tensor) -> None:
            self.gate.replay = opened

        values = list(output.values()) if isinstance(output, Mapping) else output
        for value in values if isinstance(values, (list, tuple)) else [values]:
            if isinstance(value, Tensor) and value.requires_grad:
                value.register_hook(announce)  # type: ignore[no-untyped-call]

    def _tie_embeddings(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        opened = self.gate.now
        return pass_gradient_on(output, opened) if opened is not None and _trains(opened) else None


def _trains(opened: OpenGate) -> bool:
    # Whether anything is checkpointed is not asked: users may wrap blocks in ways that no flag tells.
    return torch.is_grad_enabled() and any(columns.requires_grad for columns in opened.columns.values())
