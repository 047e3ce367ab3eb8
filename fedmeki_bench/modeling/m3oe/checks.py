"""Checks of an M3OE adapter against the base model it is put on; each names the layer or task at fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from peft.tuners.tuners_utils import _filter_state_dict_by_key_prefixes, _get_tuner_state_dict_key_prefixes
from torch import Tensor, nn

from fedmeki_bench.errors import Fault, FaultsError, UsageError
from fedmeki_bench.modeling.m3oe.config import Descriptions, M3OEConfig
from fedmeki_bench.modeling.m3oe.targets import is_linear, unwrapped_name

__all__ = ["check_base_model", "check_saved_tensors", "check_targets", "check_token_ids"]


def check_base_model(config: M3OEConfig, model: Any) -> None:
    """The adapter was made for a model of this type and these sizes; a new adapter takes note of them.

    Raises:
        UsageError: another base model, or a description with an id beyond the vocabulary.
    """
    vocabulary, width = model.get_input_embeddings().weight.shape
    known = getattr(model, "config", None)
    shape = {
        "model_type": getattr(known, "model_type", None),
        "layers": getattr(known, "num_hidden_layers", None),
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
            fix=f"load it on the model it was made for: {config.base_model_name_or_path or 'not recorded'}",
        )
    check_token_ids(config.descriptions, model)


def check_token_ids(descriptions: Descriptions, model: Any) -> None:
    """Every token id of the descriptions is in the base model's vocabulary, else a UsageError."""
    vocabulary = model.get_input_embeddings().weight.shape[0]
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


def check_targets(config: M3OEConfig, model: nn.Module, matches: Callable[[M3OEConfig, str], Any]) -> None:
    """At least one layer is targeted, and all that are targeted are linear, else a UsageError."""
    modules = {unwrapped_name(name): module for name, module in model.named_modules() if name}
    targeted = {name: module for name, module in modules.items() if matches(config, name)}
    if not targeted:
        linear = sorted({name.rpartition(".")[2] for name, module in modules.items() if is_linear(module)})
        raise UsageError(
            f"no layer of {type(model).__name__} matches target_modules",
            expected=f"names among {', '.join(linear)}",
            found=config.target_modules,
            fix="leave target_modules out to adapt every linear layer of attention and MLP",
        )
    for name, module in targeted.items():
        if not is_linear(module):
            raise UsageError(
                "M3OE adapts linear layers only",
                where=name,
                expected="torch.nn.Linear, transformers' Conv1D, or a quantised linear layer",
                found=type(module).__name__,
                fix="leave this layer out with target_modules or exclude_modules",
            )


def check_saved_tensors(model: nn.Module, adapter_name: str, saved: Mapping[str, Tensor]) -> None:
    """Saved tensors are exactly those of the adapter, in its shapes, else a FaultsError with every fault."""
    prefixes = _get_tuner_state_dict_key_prefixes(model, adapter_name=adapter_name)
    expected: dict[str, Tensor] = _filter_state_dict_by_key_prefixes(model.state_dict(), prefixes)
    faults = []
    for name in sorted(expected.keys() | saved.keys()):
        wanted = tuple(expected[name].shape) if name in expected else "no such tensor"
        found = tuple(saved[name].shape) if name in saved else "missing"
        if wanted != found:
            faults.append(Fault("saved adapter", name, str(wanted), str(found)))
    if faults:
        raise FaultsError("the saved adapter does not fit the base model", faults)
