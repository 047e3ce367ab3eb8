"""One encoder a modality: raw arrays in, a sequence of tokens of the foundation model's width out.

Image: DeiT-tiny, distilled (Touvron et al. 2021), 224 x 224, 198 tokens. Signal: two 1-d convolutions, one token a
lead. Clinical modalities: one Transformer each, one token an hour (FedKIM, section 4, implementation details).
The last linear map of each encoder is the alignment g of FedKIM's section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from fedmeki_bench.data import Inputs
from fedmeki_bench.errors import BenchError, UsageError
from fedmeki_bench.files import file_sha256
from fedmeki_bench.sources import Array
from fedmeki_bench.specs import ENCODED_MODALITIES, MODALITIES, Modality

__all__ = [
    "ClinicalEncoder",
    "ClinicalScale",
    "Encoder",
    "EncoderOptions",
    "Encoders",
    "ImageEncoder",
    "SignalEncoder",
    "build_encoders",
    "clinical_scale",
    "register_encoder",
]


@dataclass(frozen=True)
class ClinicalScale:
    """Mean and standard deviation of each feature of a clinical modality, over what was measured.

    A feature that was never measured has mean 0 and deviation 1.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]


@dataclass(frozen=True)
class EncoderOptions:
    """What building the encoders needs.

    Attributes:
        width: embedding width of the foundation model.
        scales: scaling of each clinical modality that occurs.
        image_weights: local file of timm's weights for DeiT-tiny (distilled); random initialisation without one.
    """

    width: int
    scales: Mapping[Modality, ClinicalScale]
    image_weights: Path | None = None


class Encoder(nn.Module):
    """Base class: `batch` turns arrays into tensors, `forward` turns those into tokens.

    `weights` says where the initial weights come from: `random`, or `sha256:` of the file they were read from.
    """

    weights = "random"

    def batch(self, arrays: Sequence[Array]) -> tuple[Tensor, Tensor]:
        """Arrays of one modality as (values, valid): valid is bool (batch, tokens), False where a token is padding."""
        raise NotImplementedError

    def forward(self, values: Tensor, valid: Tensor) -> Tensor:
        """Tokens of shape (batch, tokens, width); what stands at padding positions is never read."""
        raise NotImplementedError


_REGISTRY: dict[Modality, Callable[[Modality, EncoderOptions], Encoder]] = {}


def register_encoder(*modalities: Modality) -> Callable[[type[Encoder]], type[Encoder]]:
    """Class decorator: this encoder, built as `cls(modality, options)`, serves these modalities."""

    def register(cls: type[Encoder]) -> type[Encoder]:
        for modality in modalities:
            if modality in _REGISTRY:
                raise BenchError(
                    f"two encoders for the modality {modality!r}", found=f"{_REGISTRY[modality]} and {cls}"
                )
            _REGISTRY[modality] = cls
        return cls

    return register


@register_encoder("image")
class ImageEncoder(Encoder):
    """DeiT-tiny (distilled): 196 patches of 16 x 16 pixels plus class and distillation token, 192 wide."""

    name = "deit_tiny_distilled_patch16_224"
    tokens = 198
    mean: Tensor
    deviation: Tensor

    def __init__(self, modality: Modality, options: EncoderOptions) -> None:
        import timm

        super().__init__()
        self.backbone: nn.Module = timm.create_model(self.name, pretrained=False, num_classes=0)
        if options.image_weights is not None:
            self._load(options.image_weights)
        self.align = nn.Linear(192, options.width)
        # ImageNet statistics, as in DeiT's training.
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)

    def _load(self, path: Path) -> None:
        from safetensors.torch import load_file

        if not path.is_file():
            raise UsageError(
                "no such file of image encoder weights",
                where=path,
                expected=f"a safetensors file of {self.name}",
            )
        state = {
            name: value
            for name, value in load_file(path).items()
            if not name.startswith(("head.", "head_dist."))
        }
        expected = set(self.backbone.state_dict())
        if set(state) != expected:
            found = f"{len(expected - set(state))} names missing, {len(set(state) - expected)} unknown"
            raise BenchError(
                "these are not the image encoder's weights",
                where=path,
                expected=f"the names of {self.name}",
                found=found,
            )
        self.backbone.load_state_dict(state)
        self.weights = f"sha256:{file_sha256(path)}"

    def batch(self, arrays: Sequence[Array]) -> tuple[Tensor, Tensor]:
        """uint8 (224, 224) grey or (224, 224, 3) to uint8 (batch, 3, 224, 224); every token is valid."""
        planes = [np.repeat(array[..., None], 3, axis=-1) if array.ndim == 2 else array for array in arrays]
        values = torch.from_numpy(np.stack(planes)).permute(0, 3, 1, 2)
        return values, torch.ones(len(arrays), self.tokens, dtype=torch.bool)

    def forward(self, values: Tensor, valid: Tensor) -> Tensor:
        """Pixels uint8 (batch, 3, 224, 224) to tokens (batch, 198, width)."""
        pixels = (values.to(self.align.weight.dtype) / 255 - self.mean) / self.deviation
        features: Tensor = self.backbone.forward_features(pixels)  # type: ignore[operator]
        tokens: Tensor = self.align(features)
        return tokens


@register_encoder("signal")
class SignalEncoder(Encoder):
    """Two convolutions over the 12 leads with batch normalisation, then one token a lead."""

    name = "ecg_cnn"
    leads, samples = 12, 1000

    def __init__(self, modality: Modality, options: EncoderOptions) -> None:
        super().__init__()

        def block() -> list[nn.Module]:
            return [nn.Conv1d(self.leads, self.leads, 3, padding=1), nn.BatchNorm1d(self.leads), nn.ReLU()]

        self.convolutions = nn.Sequential(*block(), *block())
        self.align = nn.Linear(self.samples, options.width)

    def batch(self, arrays: Sequence[Array]) -> tuple[Tensor, Tensor]:
        """float32 (12, 1000) in millivolt to (batch, 12, 1000); every token is valid."""
        return torch.from_numpy(np.stack(arrays)), torch.ones(len(arrays), self.leads, dtype=torch.bool)

    def forward(self, values: Tensor, valid: Tensor) -> Tensor:
        """Signals (batch, 12, 1000) to tokens (batch, 12, width)."""
        tokens: Tensor = self.align(self.convolutions(values))
        return tokens


@register_encoder("vital_signs", "lab_events", "input", "output")
class ClinicalEncoder(Encoder):
    """A Transformer over the hours of a stay: attention within a patient's series, never across patients.

    Each hour's values are standardised; a missing value enters as zero beside an indicator of what was measured, so
    that the model can tell "missing" from "average". Hours added as padding are masked in the attention.
    """

    name = "clinical_transformer"
    mean: Tensor
    deviation: Tensor

    def __init__(self, modality: Modality, options: EncoderOptions) -> None:
        super().__init__()
        if modality not in options.scales:
            raise BenchError(
                f"no scaling for the modality {modality!r}",
                fix="compute it from public data with clinical_scale",
            )
        scale = options.scales[modality]
        self.register_buffer("mean", torch.tensor(scale.mean, dtype=torch.float32))
        self.register_buffer("deviation", torch.tensor(scale.deviation, dtype=torch.float32))
        self.embed = nn.Linear(2 * len(scale.mean), 512)
        self.hours = nn.TransformerEncoderLayer(512, nhead=8, dim_feedforward=512, batch_first=True)
        self.align = nn.Linear(512, options.width)

    def batch(self, arrays: Sequence[Array]) -> tuple[Tensor, Tensor]:
        """float32 (hours, features) each, NaN where missing, to (batch, longest, features) with padding marked."""
        series = [torch.from_numpy(np.array(array, dtype=np.float32)) for array in arrays]
        lengths = torch.tensor([len(one) for one in series])
        values = pad_sequence(series, batch_first=True, padding_value=float("nan"))
        return values, torch.arange(values.shape[1])[None, :] < lengths[:, None]

    def forward(self, values: Tensor, valid: Tensor) -> Tensor:
        """Series (batch, hours, features) to tokens (batch, hours, width)."""
        measured = ~torch.isnan(values)
        standardised = torch.where(measured, (values - self.mean) / self.deviation, torch.zeros_like(values))
        hidden = self.embed(torch.cat([standardised, measured.to(standardised.dtype)], dim=-1))
        tokens: Tensor = self.align(self.hours(hidden, src_key_padding_mask=~valid))
        return tokens


class Encoders(nn.ModuleDict):
    """The encoders by modality; together they turn inputs into token sequences."""

    def encode(self, inputs: Sequence[Inputs]) -> list[Tensor]:
        """Each input's tokens, all its modalities in prompt order, without padding: (tokens, width) each.

        Inputs of different tasks may stand in one batch; each modality is encoded once for those that have it.
        """
        pieces: list[dict[Modality, Tensor]] = [{} for _ in inputs]
        for modality in ENCODED_MODALITIES:
            rows = [row for row, one in enumerate(inputs) if modality in one.modalities]
            if not rows:
                continue
            if modality not in self:
                raise BenchError(
                    f"no encoder for the modality {modality!r}", where=f"input {inputs[rows[0]].id}"
                )
            encoder = self[modality]
            assert isinstance(encoder, Encoder)
            device = next(encoder.parameters()).device
            values, valid = encoder.batch([inputs[row].modalities[modality] for row in rows])
            tokens = encoder(values.to(device), valid.to(device))
            for row, one, kept in zip(rows, tokens, valid, strict=True):
                pieces[row][modality] = one[: int(kept.sum())]
        ordered = [[piece[modality] for modality in MODALITIES if modality in piece] for piece in pieces]
        return [torch.cat(parts) for parts in ordered]


def build_encoders(modalities: Sequence[Modality], options: EncoderOptions, *, seed: int) -> Encoders:
    """Encoders for the modalities (text needs none), with weights drawn from the seed alone.

    The global random state is restored afterwards, and each modality has its own seed, so that an encoder starts from
    the same weights whichever other modalities take part.
    """
    built: dict[str, Encoder] = {}
    with torch.random.fork_rng(devices=[]):
        for rank, modality in enumerate(ENCODED_MODALITIES):
            if modality in modalities:
                torch.default_generator.manual_seed(seed * len(ENCODED_MODALITIES) + rank)
                built[modality] = _REGISTRY[modality](modality, options)
    return Encoders(built)


def clinical_scale(arrays: Sequence[Array]) -> ClinicalScale:
    """Scaling of one clinical modality from public examples: (hours, features) each, NaN where missing."""
    stacked = np.concatenate([np.asarray(array, dtype=np.float64) for array in arrays])
    measured = ~np.isnan(stacked)
    count = np.maximum(measured.sum(axis=0), 1)
    mean = np.where(measured, stacked, 0).sum(axis=0) / count
    variance = np.where(measured, (stacked - mean) ** 2, 0).sum(axis=0) / count
    # A constant or never measured feature is only shifted: dividing by its deviation would be dividing by zero.
    deviation = np.where(variance > 0, np.sqrt(variance), 1.0)
    return ClinicalScale(tuple(mean.tolist()), tuple(deviation.tolist()))
