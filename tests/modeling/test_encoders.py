"""Encoders: shapes, masking, and no leak between the patients of a batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fedmeki_bench.errors import BenchError
from fedmeki_bench.modeling.client import LocalModel
from fedmeki_bench.modeling.encoders import clinical_scale
from tests.examples import make_encoders, make_inputs, tensor_hash

CLINICAL = "mortality_prediction"


def test_tokens_have_the_papers_shapes() -> None:
    """198 tokens an image, 12 a signal, one an hour and clinical modality; the foundation model's width."""
    encoders = make_encoders(48).eval()
    batch = [
        make_inputs("covid_detection", 0),
        make_inputs("ecg_abnormal_detection", 0),
        make_inputs(CLINICAL, 0, hours=5),
    ]
    assert [tuple(tokens.shape) for tokens in encoders.encode(batch)] == [(198, 48), (12, 48), (4 * 5, 48)]


def test_parameters_at_the_papers_width() -> None:
    """About 4.1 M for the signal and 3.7 M for a clinical modality at width 4096 (facts of the papers)."""
    encoders = make_encoders(4096, modalities=["signal", "lab_events"])
    counts = {name: sum(value.numel() for value in one.parameters()) / 1e6 for name, one in encoders.items()}
    assert counts["signal"] == pytest.approx(4.1, abs=0.05)
    assert counts["lab_events"] == pytest.approx(3.7, abs=0.1)


def test_shuffling_one_patients_hours_changes_only_that_patient() -> None:
    """Attention runs over the hours of a stay, never across the patients of a batch (as it did in the release)."""
    encoders = make_encoders(32).eval()
    batch = [make_inputs(CLINICAL, number, hours=6) for number in range(4)]
    order = np.random.default_rng(0).permutation(6)
    shuffled = replace(
        batch[2], modalities={name: array[order] for name, array in batch[2].modalities.items()}
    )
    before, after = encoders.encode(batch), encoders.encode([*batch[:2], shuffled, batch[3]])
    for row in (0, 1, 3):
        torch.testing.assert_close(after[row], before[row])
    assert not torch.allclose(after[2], before[2])


@pytest.mark.parametrize("training", [False, True])
def test_a_stay_is_encoded_the_same_beside_a_longer_one(training: bool) -> None:
    """Hours added as padding are masked."""
    encoders = make_encoders(32, modalities=["vital_signs", "lab_events", "input", "output"]).train(training)
    for module in encoders.modules():
        if isinstance(module, torch.nn.Dropout | torch.nn.MultiheadAttention):
            module.eval()
    short, long = make_inputs(CLINICAL, 0, hours=3), make_inputs(CLINICAL, 1, hours=20)
    alone, beside = encoders.encode([short])[0], encoders.encode([short, long])[0]
    torch.testing.assert_close(beside, alone, atol=1e-5, rtol=1e-4)


def test_a_missing_value_is_not_an_average_one() -> None:
    """A value equal to the mean and a missing value give different tokens."""
    encoders = make_encoders(32, modalities=["vital_signs", "lab_events", "input", "output"]).eval()
    missing = make_inputs(CLINICAL, 0, hours=2)
    values = dict(missing.modalities)
    values["vital_signs"] = np.full((2, 7), np.nan, dtype=np.float32)
    average = {**values, "vital_signs": np.zeros((2, 7), dtype=np.float32)}
    first, second = encoders.encode(
        [replace(missing, modalities=values), replace(missing, modalities=average)]
    )
    assert torch.isfinite(first).all() and not torch.allclose(first[:2], second[:2])


def test_initial_weights_follow_from_the_seed_alone() -> None:
    """Neither the global random state nor the other modalities matter."""
    torch.manual_seed(1)
    first = make_encoders(16, modalities=["signal"])
    torch.manual_seed(2)
    second = make_encoders(16, modalities=["image", "signal"])
    assert tensor_hash(first["signal"].state_dict()) == tensor_hash(second["signal"].state_dict())
    assert tensor_hash(make_encoders(16, modalities=["signal"], seed=1).state_dict()) != tensor_hash(
        first.state_dict()
    )


def test_a_grey_image_equals_its_colour_copy() -> None:
    """One plane is used for all three channels."""
    encoders = make_encoders(16, modalities=["image"]).eval()
    grey = make_inputs("covid_detection", 0)
    colour = replace(grey, modalities={"image": np.repeat(grey.modalities["image"][..., None], 3, axis=-1)})
    torch.testing.assert_close(encoders.encode([grey])[0], encoders.encode([colour])[0])


def test_an_input_without_its_encoder_is_an_error_that_names_both() -> None:
    """Nothing is skipped in silence."""
    with pytest.raises(BenchError, match=r"no encoder for the modality 'image'[\s\S]*covid_detection-0"):
        make_encoders(16, modalities=["signal"]).encode([make_inputs("covid_detection", 0)])


def test_scaling_uses_measured_values_only() -> None:
    """Mean and deviation ignore missing values; a feature never measured is left alone."""
    scale = clinical_scale(
        [
            np.array([[1.0, np.nan], [3.0, np.nan]], dtype=np.float32),
            np.array([[np.nan, np.nan]], dtype=np.float32),
        ]
    )
    assert scale.mean == (2.0, 0.0) and scale.deviation == (1.0, 1.0)


def test_batch_statistics_are_part_of_the_models_state() -> None:
    """They travel with the model (the release left them out of its checkpoints)."""
    model = LocalModel(make_encoders(16, modalities=["signal"]), ["ecg_abnormal_detection"], width=16, seed=0)
    assert any(name.endswith("running_mean") for name in model.state_dict())
