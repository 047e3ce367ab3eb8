"""InternLM2 weights (MMedLM2 among them) as a Llama model of `transformers`, without remote code.

InternLM2 is Llama in all but storage: the query, key and value projections lie in one matrix `wqkv`, grouped
by key and value head, and everything has another name. Mapped on load, the model needs no code from the hub.

    wqkv, read as (kv_heads, groups + 2, ...)       per group: its query heads, then the key, then the value
    attention.wo | feed_forward.w1, w3, w2          o_proj | gate_proj, up_proj, down_proj
    attention_norm, ffn_norm, norm                  input_layernorm, post_attention_layernorm, norm
    tok_embeddings, output                          embed_tokens, lm_head

Source of the architecture: Cai et al., InternLM2 Technical Report (arXiv 2403.17297), section 2.2. Published
7B configurations have dynamic rotary scaling, factor 2, beyond 32,768 positions; before, it does nothing.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fedmeki_bench.errors import BenchError, Fault, FaultsError, UsageError
from fedmeki_bench.files import read_json

__all__ = ["is_internlm2", "llama_config", "load_internlm2", "map_tensor"]

NAMES = {
    "tok_embeddings": "embed_tokens",
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w3": "mlp.up_proj",
    "feed_forward.w2": "mlp.down_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
"""InternLM2's name to Llama's, where the tensor is taken over as it is."""

SAME_IN_BOTH = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "hidden_act",
    "max_position_embeddings",
    "initializer_range",
    "rms_norm_eps",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "tie_word_embeddings",
)
ROPE_TYPES = ("dynamic", "linear")


def is_internlm2(config: Any) -> bool:
    """Whether a model's configuration (a `transformers` config, or the content of config.json) is
    InternLM2's."""
    values = config if isinstance(config, Mapping) else config.to_dict()
    return values.get("model_type") == "internlm2"


def llama_config(values: Mapping[str, Any]) -> Any:
    """The `LlamaConfig` that computes what an InternLM2 configuration describes.

    Args:
        values: content of InternLM2's config.json.

    Raises:
        UsageError: not InternLM2, or a rotary scaling that is unknown.
    """
    from transformers import LlamaConfig

    if not is_internlm2(values):
        raise UsageError(
            "not an InternLM2 model", expected="model_type internlm2", found=values.get("model_type")
        )
    rope: dict[str, Any] = {"rope_theta": values.get("rope_theta", 10000), "rope_type": "default"}
    scaling = values.get("rope_scaling")
    if scaling:
        kind = scaling.get("type", scaling.get("rope_type"))
        if kind not in ROPE_TYPES:
            raise UsageError(
                "unknown rotary scaling", where="rope_scaling", expected=" or ".join(ROPE_TYPES), found=kind
            )
        rope |= {"rope_type": kind, "factor": float(scaling["factor"])}
    kept = {name: values[name] for name in SAME_IN_BOTH if name in values}
    return LlamaConfig(**kept, attention_bias=bool(values.get("bias", False)), rope_parameters=rope)


def map_tensor(name: str, tensor: Tensor, config: Any) -> dict[str, Tensor]:
    """One InternLM2 tensor as Llama's: itself under another name, or `wqkv` split in three.

    Args:
        name: InternLM2's name, such as `model.layers.0.attention.wqkv.weight`.
        tensor: the weight (out, in), or the bias (out).
        config: the LlamaConfig, for the heads.
    """
    if name.startswith("output."):
        return {name.replace("output.", "lm_head.", 1): tensor}
    if ".attention.wqkv." not in name:
        for theirs, ours in NAMES.items():
            name = name.replace(f".{theirs}.", f".{ours}.")
        return {name: tensor}
    kv_heads = config.num_key_value_heads
    groups = config.num_attention_heads // kv_heads
    rest = tensor.shape[1:]
    grouped = tensor.reshape(kv_heads, groups + 2, config.head_dim, *rest)
    parts = {"q_proj": grouped[:, :groups], "k_proj": grouped[:, groups], "v_proj": grouped[:, groups + 1]}
    return {
        name.replace("attention.wqkv", f"self_attn.{part}"): value.reshape(-1, *rest)
        for part, value in parts.items()
    }


def load_internlm2(
    path_or_repo: str | Path,
    *,
    dtype: torch.dtype,
    device: torch.device | str,
    revision: str | None = None,
    download: bool = False,
) -> Any:
    """Load InternLM2 weights into a frozen `LlamaForCausalLM`, shard by shard.

    At no time is more than the finished model and one of its tensors in memory; each lands on its device and
    in its dtype as it is read.

    Args:
        path_or_repo: a folder with config.json and weights (safetensors, or PyTorch's .bin), or a hub id.
        dtype: of the loaded weights.
        device: where they go.
        revision: commit of the hub; the newest on this machine without one.
        download: allow fetching from the hub; without it a hub id must be in the local cache.

    Raises:
        UsageError: the model is not here, or is not InternLM2.
        FaultsError: tensors are missing, unknown, or of another shape; all of them listed.
    """
    from transformers import LlamaForCausalLM
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    folder = _folder(path_or_repo, revision, download)
    config = llama_config(read_json(folder / "config.json"))
    with torch.device("meta"):
        model = LlamaForCausalLM(config).to(dtype)
    expected = dict(model.named_parameters(remove_duplicate=False))
    faults, missing = [], set(expected)
    for file in _weight_files(folder):
        for name, tensor in _tensors(file):
            for mapped, value in map_tensor(name, tensor, config).items():
                wanted = tuple(expected[mapped].shape) if mapped in expected else "no such tensor"
                if wanted != tuple(value.shape):
                    faults.append(Fault(file.name, name, f"{wanted} for {mapped}", str(tuple(value.shape))))
                    continue
                _assign(model, mapped, value.to(device=device, dtype=dtype, copy=True))
                missing.discard(mapped)
    if config.tie_word_embeddings:
        model.tie_weights()
        missing.discard("lm_head.weight")
    faults += [Fault(folder.name, name, "a tensor for it", "none in any file") for name in missing]
    if faults:
        raise FaultsError(
            "these weights are not the InternLM2 model that config.json describes", faults, exit_code=1
        )
    # The rotary frequencies are computed, not stored, and were made on the meta device with the rest.
    model.model.rotary_emb = LlamaRotaryEmbedding(config).to(device)
    return model.eval()


def _folder(path_or_repo: str | Path, revision: str | None, download: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    folder = Path(path_or_repo)
    if folder.is_dir():
        return folder
    wanted = ["*.json", "*.safetensors", "*.bin", "*.model"]
    try:
        found = snapshot_download(
            str(path_or_repo), revision=revision, allow_patterns=wanted, local_files_only=not download
        )
    except (HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError) as error:
        raise UsageError(
            f"the foundation model {str(path_or_repo)!r} is not on this machine",
            expected="a folder, or a hub id in the local cache",
            fix="fetch it first, or allow fetching it",
        ) from error
    return Path(found)


def _weight_files(folder: Path) -> list[Path]:
    # Some repositories hold the same weights in both formats; safetensors is the one that cannot run code.
    for pattern in ("*.safetensors", "pytorch_model*.bin"):
        files = sorted(folder.glob(pattern))
        if files:
            return files
    raise BenchError("no weights", where=folder, expected="*.safetensors or pytorch_model*.bin")


def _tensors(file: Path) -> Iterator[tuple[str, Tensor]]:
    if file.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - safe_open is no mapping
                yield name, opened.get_tensor(name)
        return
    # weights_only reads tensors and refuses whatever else a pickle may hold; mmap reads them when needed.
    try:
        state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise BenchError("a weight file that is not plain weights", where=file, found=error) from error
    yield from state.items()


def _assign(model: nn.Module, name: str, value: Tensor) -> None:
    module, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(module), leaf, nn.Parameter(value, requires_grad=False))
