"""M3OE computes the paper's equations: against a plain loop over experts, in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from fedmeki_bench.modeling.m3oe.product import expert_product
from tests.m3oe.builders import DESCRIPTIONS, TASKS, adapted, gradients, plain_alpha, plain_logits, tokens

EXACT = {"rtol": 1e-10, "atol": 1e-12}


class TestWholeModel:
    @pytest.mark.parametrize("tasks", [["covid"] * 3, ["ecg", "covid", "ecg"], TASKS])
    def test_logits_and_every_gradient_equal_a_plain_loop_over_experts(self, tasks):
        model, ids = adapted(), tokens(3, 6)
        with model.base_model.route(tasks):
            logits = model(input_ids=ids).logits
        expected = plain_logits(model, tasks, input_ids=ids)
        torch.testing.assert_close(logits, expected, **EXACT)
        weight = torch.randn(logits.shape, generator=torch.Generator().manual_seed(3), dtype=logits.dtype)
        ours, theirs = gradients(model, (logits * weight).sum()), gradients(model, (expected * weight).sum())
        assert any("router" in name for name in ours)
        for name, gradient in ours.items():
            torch.testing.assert_close(gradient, theirs[name], msg=name, **EXACT)

    def test_gradient_of_the_input_embeddings_equals_the_plain_loop(self):
        model = adapted()
        embeddings = torch.randn(2, 5, 12, dtype=torch.float64, requires_grad=True)
        with model.base_model.route(["covid", "ecg"]):
            (ours,) = torch.autograd.grad(model(inputs_embeds=embeddings).logits.square().sum(), embeddings)
        loss = plain_logits(model, ["covid", "ecg"], inputs_embeds=embeddings).square().sum()
        (theirs,) = torch.autograd.grad(loss, embeddings)
        torch.testing.assert_close(ours, theirs, **EXACT)

    def test_a_new_adapter_changes_nothing(self):
        from peft import get_peft_model

        from tests.m3oe.builders import config, tiny_llama

        ids = tokens(2, 5)
        model = get_peft_model(tiny_llama(), config())
        with model.base_model.route(["covid", "ecg"]):
            assert torch.equal(model(input_ids=ids).logits, tiny_llama()(input_ids=ids).logits)

    @given(
        rows=st.lists(st.sampled_from(TASKS), min_size=1, max_size=5),
        length=st.integers(1, 7),
        padding=st.integers(0, 4),
        seed=st.integers(0, 100),
    )
    @settings(max_examples=20, deadline=None)
    def test_a_row_of_a_mixed_padded_batch_is_what_it_is_alone(self, rows, length, padding, seed):
        model, ids = adapted(), tokens(len(rows), length, seed)
        padded = torch.cat([torch.zeros(len(rows), padding, dtype=torch.long), ids], dim=1)
        mask = torch.cat([torch.zeros(len(rows), padding), torch.ones_like(ids)], dim=1).long()
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        with torch.no_grad(), model.base_model.route(rows):
            batch = model(input_ids=padded, attention_mask=mask, position_ids=positions).logits
        for index, task in enumerate(rows):
            with torch.no_grad(), model.base_model.route(task):
                alone = model(input_ids=ids[index : index + 1]).logits[0]
            torch.testing.assert_close(batch[index, padding:], alone, **EXACT)


class TestRouter:
    def test_expert_weights_equal_equation_4(self):
        tuner = adapted().base_model
        router = dict(tuner.m3oe_router["default"].named_parameters())
        embedding = tuner.model.get_input_embeddings().weight
        expected = torch.stack([plain_alpha(router, embedding, DESCRIPTIONS[task]) for task in TASKS])
        torch.testing.assert_close(tuner.expert_weights(TASKS), expected, **EXACT)

    @given(tasks=st.lists(st.sampled_from(TASKS), min_size=1, max_size=6))
    @settings(max_examples=20, deadline=None)
    @pytest.mark.parametrize("softmax", [False, True])
    @pytest.mark.parametrize("pooling", ["mean", "max"])
    def test_a_tasks_weights_do_not_depend_on_the_tasks_beside_it(self, softmax, pooling, tasks):
        tuner = adapted(attention_softmax=softmax, pooling=pooling).base_model
        together = tuner.expert_weights(tasks)
        alone = torch.cat([tuner.expert_weights([task]) for task in tasks])
        torch.testing.assert_close(together, alone, **EXACT)
        torch.testing.assert_close(together.sum(dim=1), torch.ones(len(tasks), dtype=torch.float64))

    def test_softmax_attention_is_the_release_and_not_the_paper(self):
        plain, soft = adapted().base_model, adapted(attention_softmax=True).base_model
        assert not torch.allclose(plain.expert_weights(TASKS), soft.expert_weights(TASKS))

    def test_ablation_T_reads_the_modality_descriptions_only(self):
        same = {"a": {"task": [], "modalities": [4, 5]}, "b": {"task": [9], "modalities": [4, 5]}}
        tuner = adapted(use_task_description=False, descriptions=same).base_model
        one, other = tuner.expert_weights(["a", "b"])
        assert torch.equal(one, other)

    def test_ablation_M_reads_the_task_description_only(self):
        same = {"a": {"task": [4, 5], "modalities": []}, "b": {"task": [4, 5], "modalities": [7]}}
        tuner = adapted(use_modality_descriptions=False, descriptions=same).base_model
        one, other = tuner.expert_weights(["a", "b"])
        assert torch.equal(one, other)

    def test_no_gradient_reaches_the_embedding_layer(self):
        tuner = adapted().base_model
        tuner.model.get_input_embeddings().weight.requires_grad_(True)
        tuner.expert_weights(TASKS)[:, 0].sum().backward()
        assert tuner.model.get_input_embeddings().weight.grad is None

    def test_report_gives_weights_entropy_and_usage_for_tasks_added_at_prediction_too(self):
        tuner = adapted().base_model
        tuner.add_descriptions({"sepsis": {"task": [20, 21], "modalities": [22]}})
        report = tuner.router_report(["covid", "sepsis"])
        data = report.to_dict()
        assert list(data["weights"]) == ["covid", "sepsis"]
        assert sum(report.usage) == pytest.approx(1) and sum(data["weights"]["sepsis"]) == pytest.approx(1)
        assert all(0 <= bits <= data["largest_entropy_bits"] for bits in report.entropy.values())
        assert 0 <= report.spread <= 1


class TestProduct:
    def case(self, rows: int, columns_shape: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
        generator = torch.Generator().manual_seed(rows)

        def values(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_(True)

        return values(rows, 3, 4), values(rows, 3, 5), values(6, 5), values(4, 6), values(*columns_shape)

    @pytest.mark.parametrize("columns", [(6,), (1, 1, 6), (2, 1, 6)])
    def test_gradcheck(self, columns):
        assert torch.autograd.gradcheck(expert_product, self.case(2, columns))

    def test_gradcheck_with_dropout(self):
        def fixed_dropout(*tensors: torch.Tensor) -> torch.Tensor:
            torch.manual_seed(5)
            return expert_product(*tensors, dropout=0.4)

        with torch.random.fork_rng():
            assert torch.autograd.gradcheck(fixed_dropout, self.case(2, (2, 1, 6)))

    def test_dropout_keeps_the_mean(self):
        base, x, a, b, columns = self.case(1, (6,))
        exact = expert_product(base, x, a, b, columns)
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(0)
            mean = sum(expert_product(base, x, a, b, columns, dropout=0.5) for _ in range(4000)) / 4000
        torch.testing.assert_close(mean, exact.detach(), rtol=0.2, atol=0.6)

    @given(
        rows=st.integers(1, 3),
        length=st.integers(1, 4),
        width_in=st.integers(1, 5),
        width_out=st.integers(1, 5),
        experts=st.integers(1, 4),
        rank=st.integers(1, 3),
        seed=st.integers(0, 1000),
    )
    @settings(max_examples=40, deadline=None)
    def test_equals_the_sum_over_experts_for_any_shape(
        self, rows, length, width_in, width_out, experts, rank, seed
    ):
        generator = torch.Generator().manual_seed(seed)
        base, x, a, b, alpha = (
            torch.randn(*shape, generator=generator, dtype=torch.float64)
            for shape in [
                (rows, length, width_out),
                (rows, length, width_in),
                (experts, rank, width_in),
                (experts, width_out, rank),
                (rows, experts),
            ]
        )
        expected = base + sum(
            alpha[:, p, None, None] * F.linear(F.linear(x, a[p]), b[p]) for p in range(experts)
        )
        columns = alpha.repeat_interleave(rank, dim=1)[:, None, :]
        stacked_b = b.transpose(0, 1).reshape(width_out, experts * rank)
        result = expert_product(base, x, a.reshape(experts * rank, width_in), stacked_b, columns)
        torch.testing.assert_close(result, expected, **EXACT)

    def test_nothing_as_wide_as_the_layer_is_kept_but_its_input(self):
        base, x, a, b, columns = self.case(2, (2, 1, 6))
        kept: list[torch.Tensor] = []

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            kept.append(tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            expert_product(base, x, a, b, columns)
        given_in = {tensor.data_ptr() for tensor in (x, a, b, columns)}
        assert [tuple(t.shape) for t in kept if t.data_ptr() not in given_in] == [(2, 3, 6)]
