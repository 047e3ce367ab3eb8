"""Small models and the paper's equations written out plainly, to compare M3OE with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from peft import PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from fedmeki_bench.modeling.m3oe import M3OEConfig, M3OELayer

DESCRIPTIONS = {
    "covid": {"task": [1, 2, 3], "modalities": [4, 5]},
    "ecg": {"task": [7], "modalities": [8, 9, 10, 11, 12]},
    "mortality": {"task": [13, 14, 15, 16], "modalities": [17]},
}
TASKS = list(DESCRIPTIONS)


def tiny_llama(dtype: torch.dtype = torch.float64, **overrides: Any) -> LlamaForCausalLM:
    """Two Llama blocks with grouped queries, always with the same random weights."""
    sizes = dict(vocab_size=40, hidden_size=12, intermediate_size=20, num_hidden_layers=2)
    config = LlamaConfig(**{**sizes, "num_attention_heads": 3, "num_key_value_heads": 1, **overrides})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LlamaForCausalLM(config).to(dtype)


def config(**overrides: Any) -> M3OEConfig:
    """Three experts of rank 2, no dropout."""
    values: dict[str, Any] = dict(
        r=2, num_experts=3, lora_alpha=6, lora_dropout=0.0, router_dim=8, descriptions=DESCRIPTIONS
    )
    return M3OEConfig(**{**values, **overrides})


def stir(model: nn.Module, seed: int = 1) -> None:
    """Random values in B and a router that tells tasks apart, as after training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "m3oe_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
            elif "m3oe_router" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator))


def adapted(base: nn.Module | None = None, **overrides: Any) -> PeftModel:
    """A tiny model with stirred experts."""
    model = get_peft_model(base or tiny_llama(), config(**overrides))
    stir(model)
    return model.eval()


def tokens(rows: int, length: int, seed: int = 0) -> Tensor:
    """Random token ids of the tiny model, (rows, length)."""
    return torch.randint(1, 40, (rows, length), generator=torch.Generator().manual_seed(seed))


def plain_alpha(
    router: Mapping[str, Tensor], embedding: Tensor, sides: Mapping[str, Sequence[int]]
) -> Tensor:
    """Eq. 4 for one task, word for word, without padding: alpha (P,)."""
    m, t = embedding[list(sides["modalities"])], embedding[list(sides["task"])]
    queries, keys, values = m @ router["query"].T, t @ router["key"].T, t @ router["value"].T
    beta = (queries @ keys.T) / math.sqrt(queries.shape[1]) @ values
    hidden = beta.mean(dim=0)
    depth = sum(name.startswith("mlp_weights") for name in router)
    for index in range(depth):
        hidden = router[f"mlp_weights.{index}"] @ hidden + router[f"mlp_biases.{index}"]
        if index < depth - 1:
            hidden = hidden.clamp(min=0)
    return hidden.exp() / hidden.exp().sum()


class PlainExperts(nn.Module):
    """Eq. 5 for one layer as a loop over rows and experts; shares the parameters of the tested layer."""

    def __init__(self, layer: M3OELayer, scaling: float, alphas: list[Tensor]) -> None:
        super().__init__()
        self.layer, self.scaling, self.alphas = layer, scaling, alphas

    def forward(self, h: Tensor) -> Tensor:
        a, b = self.layer.experts("default")
        rows = []
        for row, alpha in zip(h, self.alphas, strict=True):
            c = self.layer.base_layer(row)
            for p in range(len(alpha)):
                c = c + self.scaling * alpha[p] * ((row @ a[p].T) @ b[p].T)
            rows.append(c)
        return torch.stack(rows)


def plain_logits(model: PeftModel, tasks: Sequence[str], **inputs: Tensor) -> Tensor:
    """The adapted model's logits by the plain equations, with gradients to the same parameters."""
    tuner = model.base_model
    scaling = model.peft_config["default"].scaling
    router = dict(tuner.m3oe_router["default"].named_parameters())
    embedding = tuner.model.get_input_embeddings().weight.detach()
    alphas = [plain_alpha(router, embedding, DESCRIPTIONS[task]) for task in tasks]
    layers = tuner.layers()
    for name, layer in layers.items():
        tuner.model.set_submodule(name, PlainExperts(layer, scaling, alphas))
    try:
        logits: Tensor = tuner.model(**inputs).logits
    finally:
        for name, layer in layers.items():
            tuner.model.set_submodule(name, layer)
    return logits


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    """Gradients of all trainable parameters by name."""
    parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
    found = torch.autograd.grad(loss, list(parameters.values()))
    return dict(zip(parameters, found, strict=True))
