"""InternLM2 weights mapped to Llama give the logits of the published architecture, written out here."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import save_file

from fedmeki_bench.errors import BenchError
from fedmeki_bench.modeling.internlm2 import is_internlm2, load_internlm2

CONFIG = {
    "model_type": "internlm2",
    "architectures": ["InternLM2ForCausalLM"],
    "vocab_size": 30,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1000000,
    "rope_scaling": {"type": "dynamic", "factor": 2.0},
    "max_position_embeddings": 16,
    "bias": False,
    "tie_word_embeddings": False,
}


def random_weights(config, seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden, heads, kv_heads = (
        config[k] for k in ("hidden_size", "num_attention_heads", "num_key_value_heads")
    )
    wide = config["intermediate_size"]
    qkv = (heads + 2 * kv_heads) * hidden // heads

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64) / math.sqrt(shape[-1])

    weights = {"model.tok_embeddings.weight": draw(config["vocab_size"], hidden)}
    for layer in range(config["num_hidden_layers"]):
        weights |= {
            f"model.layers.{layer}.{name}.weight": tensor
            for name, tensor in {
                "attention.wqkv": draw(qkv, hidden) * 3,
                "attention.wo": draw(hidden, hidden),
                "feed_forward.w1": draw(wide, hidden),
                "feed_forward.w3": draw(wide, hidden),
                "feed_forward.w2": draw(hidden, wide),
                "attention_norm": draw(hidden) + 1,
                "ffn_norm": draw(hidden) + 1,
            }.items()
        }
        if config["bias"]:
            weights[f"model.layers.{layer}.attention.wqkv.bias"] = draw(qkv)
            weights[f"model.layers.{layer}.attention.wo.bias"] = draw(hidden)
    return weights | {
        "model.norm.weight": draw(hidden) + 1,
        "output.weight": draw(config["vocab_size"], hidden),
    }


def internlm2_logits(weights, config, ids):
    """The published architecture, one sequence, one query head at a time: logits (tokens, vocabulary)."""
    heads, kv_heads, hidden = (
        config[k] for k in ("num_attention_heads", "num_key_value_heads", "hidden_size")
    )
    dim, groups, length = hidden // heads, heads // kv_heads, len(ids)

    def norm(x, scale):
        return scale * x / torch.sqrt((x * x).mean(-1, keepdim=True) + config["rms_norm_eps"])

    def linear(x, name):
        y = x @ weights[f"{name}.weight"].T
        return y + weights[f"{name}.bias"] if f"{name}.bias" in weights else y

    base, positions = float(config["rope_theta"]), torch.arange(length, dtype=torch.float64)
    scaling, limit = config["rope_scaling"], config["max_position_embeddings"]
    if scaling and scaling["type"] == "linear":
        positions = positions / scaling["factor"]
    elif scaling and length > limit:
        base *= (scaling["factor"] * length / limit - (scaling["factor"] - 1)) ** (dim / (dim - 2))
    angles = torch.outer(positions, base ** -(torch.arange(0, dim, 2, dtype=torch.float64) / dim))

    def rotate(x):
        first, second = x[:, : dim // 2], x[:, dim // 2 :]
        turned = [first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()]
        return torch.cat(turned, dim=-1)

    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    x = weights["model.tok_embeddings.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        slots = linear(norm(x, weights[f"{at}.attention_norm.weight"]), f"{at}.attention.wqkv").split(
            dim, dim=-1
        )
        outputs = []
        for group in range(kv_heads):
            *queries, key, value = slots[group * (groups + 2) : (group + 1) * (groups + 2)]
            for query in queries:
                scores = rotate(query) @ rotate(key).T / math.sqrt(dim)
                outputs.append(scores.masked_fill(future, -math.inf).softmax(-1) @ value)
        x = x + linear(torch.cat(outputs, dim=-1), f"{at}.attention.wo")
        h = norm(x, weights[f"{at}.ffn_norm.weight"])
        gate = linear(h, f"{at}.feed_forward.w1")
        x = x + linear(
            gate * torch.sigmoid(gate) * linear(h, f"{at}.feed_forward.w3"), f"{at}.feed_forward.w2"
        )
    return norm(x, weights["model.norm.weight"]) @ weights["output.weight"].T


def store(folder, weights, config, shards=1, suffix="safetensors"):
    (folder / "config.json").write_text(json.dumps(config))
    names = list(weights)
    for index in range(shards):
        part = {name: weights[name].contiguous() for name in names[index::shards]}
        if suffix == "safetensors":
            save_file(part, folder / f"model-{index}.safetensors")
        else:
            torch.save(part, folder / f"pytorch_model-{index}.bin")
    return folder


def load(folder):
    return load_internlm2(folder, dtype=torch.float64, device="cpu")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"bias": True},
        {"num_key_value_heads": 6},
        {"num_key_value_heads": 1},
        {"rope_scaling": None},
        {"rope_scaling": {"type": "linear", "factor": 4.0}},
    ],
    ids=str,
)
@pytest.mark.parametrize("length", [9, 21], ids=["short", "beyond max_position_embeddings"])
def test_logits_equal_the_published_architecture(tmp_path, changes, length):
    config = {**CONFIG, **changes}
    weights = random_weights(config)
    model = load(store(tmp_path, weights, config))
    ids = torch.randint(0, 30, (length,), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = model(input_ids=ids[None]).logits[0]
    # transformers computes rotary angles in float32 whatever the dtype: hence the tolerance.
    torch.testing.assert_close(logits, internlm2_logits(weights, config, ids), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_shards_of_both_formats_load_alike(tmp_path, suffix):
    weights = random_weights(CONFIG)
    model = load(store(tmp_path, weights, CONFIG, shards=3, suffix=suffix))
    assert torch.equal(model.lm_head.weight, weights["output.weight"])
    assert not any(parameter.requires_grad or parameter.is_meta for parameter in model.parameters())


def test_loads_in_the_asked_dtype(tmp_path):
    model = load_internlm2(
        store(tmp_path, random_weights(CONFIG), CONFIG), dtype=torch.bfloat16, device="cpu"
    )
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model(input_ids=torch.tensor([[1, 2]])).logits.isfinite().all()


def test_missing_unknown_and_misshapen_tensors_are_all_named(tmp_path):
    weights = random_weights(CONFIG)
    del weights["model.layers.1.feed_forward.w3.weight"]
    weights["model.extra.weight"] = torch.zeros(2)
    weights["output.weight"] = torch.zeros(29, 24)
    with pytest.raises(BenchError) as caught:
        load(store(tmp_path, weights, CONFIG))
    assert all(name in str(caught.value) for name in ("1.mlp.up_proj", "model.extra", "output.weight"))


@pytest.mark.parametrize(
    "change", [{"model_type": "llama"}, {"rope_scaling": {"type": "yarn", "factor": 2.0}}]
)
def test_other_models_are_refused(tmp_path, change):
    with pytest.raises(BenchError, match=r"InternLM2|rotary"):
        load(store(tmp_path, random_weights(CONFIG), {**CONFIG, **change}))


def test_a_model_that_is_not_here_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BenchError, match="not on this machine"):
        load("nobody/no-such-model")


def test_a_pickle_with_code_in_it_is_refused(tmp_path):
    store(tmp_path, random_weights(CONFIG), CONFIG)
    (tmp_path / "model-0.safetensors").unlink()
    torch.save({"model.norm.weight": print}, tmp_path / "pytorch_model-0.bin")
    with pytest.raises(BenchError, match="not plain weights"):
        load(tmp_path)


def test_is_internlm2():
    from transformers import LlamaConfig

    assert is_internlm2(CONFIG) and not is_internlm2(LlamaConfig())
