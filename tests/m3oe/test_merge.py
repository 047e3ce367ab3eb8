"""One task's experts folded into the weights answer alike, and unfold without a trace."""

from __future__ import annotations

import pytest
import torch

from fedmeki_bench.errors import BenchError
from tests.m3oe.builders import TASKS, adapted, tiny_llama, tokens


def weights(model):
    return {name: value.clone() for name, value in model.base_model.model.state_dict().items()}


@pytest.mark.parametrize("into", ["weights", "pair"])
def test_merged_answers_equal_the_mixed_batch(into):
    model, ids = adapted(), tokens(3, 6)
    with torch.no_grad():
        with model.base_model.route(TASKS):
            mixed = model(input_ids=ids).logits
        for row, task in enumerate(TASKS):
            with model.base_model.merged(task, into=into):
                torch.testing.assert_close(model(input_ids=ids).logits[row], mixed[row])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("into", ["weights", "pair"])
def test_unfolds_bit_exactly(into, dtype):
    model = adapted(tiny_llama(dtype))
    before = weights(model)
    with model.base_model.merged("ecg", into=into):
        changed = any(not torch.equal(before[name], value) for name, value in weights(model).items())
        assert changed == (into == "weights")
    assert all(torch.equal(before[name], value) for name, value in weights(model).items())


def test_unfolds_when_the_block_fails():
    model = adapted()
    before = weights(model)
    with pytest.raises(KeyError), model.base_model.merged("ecg"):
        raise KeyError
    assert all(torch.equal(before[name], value) for name, value in weights(model).items())


def test_peft_merge_and_unmerge_for_the_routed_task():
    model, ids = adapted(), tokens(2, 5)
    before = weights(model)
    with torch.no_grad(), model.base_model.route("covid"):
        expected = model(input_ids=ids).logits
        model.merge_adapter()
        torch.testing.assert_close(model(input_ids=ids).logits, expected)
        model.unmerge_adapter()
        assert torch.equal(model(input_ids=ids).logits, expected)
    assert all(torch.equal(before[name], value) for name, value in weights(model).items())


def test_merge_and_unload_leaves_a_plain_model():
    model, ids = adapted(), tokens(2, 5)
    with torch.no_grad(), model.base_model.route("covid"):
        expected = model(input_ids=ids).logits
    plain = model.merge_and_unload(task="covid")
    assert set(plain.state_dict()) == set(tiny_llama().state_dict())
    with torch.no_grad():
        torch.testing.assert_close(plain(input_ids=ids).logits, expected)


def test_unload_gives_the_base_model_back():
    model, ids = adapted(), tokens(2, 5)
    assert torch.equal(model.unload()(input_ids=ids).logits, tiny_llama()(input_ids=ids).logits)


def test_a_broken_expert_is_found_by_safe_merge_and_leaves_nothing_merged():
    model = adapted()
    before = weights(model)
    name, layer = list(model.base_model.layers().items())[-1]
    layer.m3oe_B["default"].data[0, 0] = torch.inf
    with pytest.raises(BenchError, match=name), model.base_model.route("ecg"):
        model.merge_adapter(safe_merge=True)
    after = weights(model)
    assert all(torch.equal(before[key], after[key]) for key in before if "base_layer" in key)


@pytest.mark.parametrize("tasks", [None, ["covid", "ecg"]])
def test_merging_needs_exactly_one_task(tasks):
    model = adapted()
    with pytest.raises(BenchError, match="one task at a time"):
        if tasks is None:
            model.merge_adapter()
        else:
            with model.base_model.route(tasks):
                model.merge_adapter()


def test_a_second_merge_is_refused():
    model = adapted()
    with (
        model.base_model.merged("ecg"),
        pytest.raises(BenchError, match="merged already"),
        model.base_model.merged("covid"),
    ):
        pass
