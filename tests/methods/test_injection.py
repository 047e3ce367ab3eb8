"""What every injection method promises, on the tiny foundation model."""

from __future__ import annotations

import pytest
import torch

from fedmeki_bench.methods import Knowledge
from fedmeki_bench.methods.alignment import align, answer_ids, prompt_text
from fedmeki_bench.methods.base import FoundationInjection
from fedmeki_bench.modeling.foundation import FoundationModel, load_foundation_model
from tests.examples import (
    TASKS,
    make_encoders,
    make_examples,
    make_inputs,
    make_method,
    no_knowledge,
    tensor_hash,
)

METHODS = ["fedplug", "fedplug_l", "fedkim"]
SIGNAL, CLINICAL = "ecg_abnormal_detection", "mortality_prediction"


@pytest.fixture
def foundation() -> FoundationModel:
    return load_foundation_model("tiny", device=torch.device("cpu"))


def trained(name: str, foundation: FoundationModel | None = None, **settings: object) -> FoundationInjection:
    method = make_method(name, [SIGNAL, CLINICAL], foundation=foundation, **settings)
    method.inject(no_knowledge(), {SIGNAL: make_examples(SIGNAL, 5), CLINICAL: make_examples(CLINICAL, 5)}, 0)
    assert isinstance(method, FoundationInjection)
    return method


@pytest.mark.parametrize("name", METHODS)
class TestEveryMethod:
    @pytest.mark.parametrize("task", [SIGNAL, CLINICAL, "signal_noise_clarification"])
    def test_an_answer_does_not_depend_on_its_batch_mates(self, name: str, task: str) -> None:
        """Same answers for batch sizes 1, 3 and 8, with inputs of different lengths."""
        method = trained(name)
        inputs = [make_inputs(task, number) for number in range(8)]
        answers = {}
        for size in (1, 3, 8):
            method.context = type(method.context)(
                **{**method.context.__dict__, "prediction_batch_size": size}
            )
            answers[size] = method.predict(TASKS[task], inputs)
        assert (
            [one.text for one in answers[1]]
            == [one.text for one in answers[3]]
            == [one.text for one in answers[8]]
        )
        for one, other in zip(answers[1], answers[8], strict=True):
            assert one.score == pytest.approx(other.score, abs=2e-6)

    def test_frozen_parameters_are_unchanged_by_hash(self, name: str, foundation: FoundationModel) -> None:
        """Training and predicting leave every parameter of the foundation model bit for bit."""
        before = tensor_hash(foundation.model.state_dict())
        method = trained(name, foundation)
        method.predict(TASKS[SIGNAL], [make_inputs(SIGNAL, 0)])
        method.close()
        assert tensor_hash(foundation.model.state_dict()) == before

    def test_the_aggregated_encoder_is_the_one_in_the_forward_pass(self, name: str) -> None:
        """With other aggregated encoders, and nothing trained, answers change as those encoders say."""
        method = make_method(name, [SIGNAL], options={"train_encoders": False}, learning_rate=0.0)
        other = make_encoders(32, modalities=["signal"], seed=7)
        state = {f"encoders.{key}": value for key, value in other.state_dict().items()}
        before = method.predict(TASKS[SIGNAL], [make_inputs(SIGNAL, 0)])
        method.inject(Knowledge(state, clients=5), {SIGNAL: make_examples(SIGNAL, 2)}, 0)
        assert tensor_hash(method.encoders()) == tensor_hash(other.state_dict())
        assert method.predict(TASKS[SIGNAL], [make_inputs(SIGNAL, 0)]) != before

    def test_a_saved_state_answers_as_the_method_did_and_trains_on_as_it_would(self, name: str) -> None:
        """State saved equals state loaded, for prediction and for the next round."""
        public = {SIGNAL: make_examples(SIGNAL, 5)}
        first = make_method(name, [SIGNAL])
        first.inject(no_knowledge(), public, 0)
        second = make_method(name, [SIGNAL])
        second.load_state_dict(first.state_dict())
        inputs = [make_inputs(SIGNAL, number) for number in range(3)]
        assert second.predict(TASKS[SIGNAL], inputs) == first.predict(TASKS[SIGNAL], inputs)
        assert (
            second.inject(no_knowledge(), public, 1).losses == first.inject(no_knowledge(), public, 1).losses
        )

    def test_the_loss_falls_on_what_it_is_trained_on(self, name: str) -> None:
        """A few rounds on the same examples lower the loss."""
        method = make_method(name, [SIGNAL], rounds=6)
        public = {SIGNAL: make_examples(SIGNAL, 4)}
        losses = [method.inject(no_knowledge(), public, number).mean_loss for number in range(6)]
        assert losses[-1] is not None and losses[0] is not None and losses[-1] < losses[0]

    def test_the_size_of_the_micro_batch_does_not_change_the_training(self, name: str) -> None:
        """Gradients are those of the whole batch, however it is cut (dropout aside)."""
        options = {} if name == "fedplug" else {"dropout": 0.0}
        public = {SIGNAL: make_examples(SIGNAL, 4), CLINICAL: make_examples(CLINICAL, 4)}
        losses = {}
        for size in (1, 3, 8):
            method = make_method(
                name, [SIGNAL, CLINICAL], options=options, batch_size=8, micro_batch_size=size, rounds=2
            )
            losses[size] = [
                loss for number in range(2) for loss in method.inject(no_knowledge(), public, number).losses
            ]
        assert losses[3] == pytest.approx(losses[1], rel=1e-4)
        assert losses[8] == pytest.approx(losses[1], rel=1e-4)

    def test_two_methods_with_one_seed_are_identical(self, name: str) -> None:
        """Same seed, same answers and losses; whatever the global random state."""
        torch.manual_seed(1)
        first = trained(name).predict(TASKS[SIGNAL], [make_inputs(SIGNAL, 9)])
        torch.manual_seed(2)
        assert trained(name).predict(TASKS[SIGNAL], [make_inputs(SIGNAL, 9)]) == first


def test_a_short_prompt_keeps_its_beginning_beside_a_long_one(foundation: FoundationModel) -> None:
    """Padding is on the left in embeddings, mask and positions alike (the release lost short prompts' beginnings)."""
    encoders = make_encoders(foundation.width, modalities=["signal"]).eval()
    spec = TASKS["signal_noise_clarification"]
    short, long = make_inputs(spec.id, 0), make_inputs(spec.id, 3)
    both = align(foundation, encoders, [spec, spec], [short, long])
    alone = align(foundation, encoders, [spec], [short])
    length = alone.embeds.shape[1]
    assert both.mask[0].sum() == length < both.mask[1].sum()
    torch.testing.assert_close(both.embeds[0, -length:], alone.embeds[0])
    assert both.mask[0, -length:].all() and not both.mask[0, :-length].any()
    assert both.positions[0, -length:].tolist() == list(range(length))


def test_the_loss_counts_answer_tokens_only(foundation: FoundationModel) -> None:
    """The loss equals the answer's mean negative log-likelihood, computed apart."""
    method = make_method("fedplug", [SIGNAL], foundation=foundation, learning_rate=0.0, batch_size=1)
    example = make_examples(SIGNAL, 2)[1]
    report = method.inject(no_knowledge(), {SIGNAL: [example]}, 0)
    spec = TASKS[SIGNAL]
    ids = [*answer_ids(foundation, prompt_text(spec, example.inputs), "Yes"), foundation.end()]
    assert isinstance(method, FoundationInjection)
    with torch.no_grad():
        whole = align(foundation, method.context.encoders, [spec], [example.inputs], [ids])
        logits = foundation.model(
            inputs_embeds=whole.embeds, attention_mask=whole.mask, position_ids=whole.positions
        ).logits
        likelihoods = torch.log_softmax(logits[0], dim=-1)[-len(ids) - 1 : -1]
    expected = -likelihoods[torch.arange(len(ids)), torch.tensor(ids)].mean()
    assert report.losses == pytest.approx([float(expected)], rel=1e-5)


def test_likelihood_of_answers_of_several_tokens_equals_teacher_forcing(foundation: FoundationModel) -> None:
    """The shared pass over the prompt gives the same score as scoring each answer whole."""
    from dataclasses import replace

    spec = replace(
        TASKS[SIGNAL], answer=replace(TASKS[SIGNAL].answer, positive="Abnormal", negative="Normal heart")
    )
    method = make_method("fedplug", [SIGNAL], foundation=foundation)
    assert isinstance(method, FoundationInjection)
    inputs = [make_inputs(SIGNAL, number) for number in range(3)]
    answers = method.predict(spec, inputs)
    for one, answer in zip(inputs, answers, strict=True):
        totals = []
        for text in ("Abnormal", "Normal heart"):
            ids = answer_ids(foundation, prompt_text(spec, one), text)
            with torch.no_grad():
                whole = align(foundation, method.context.encoders, [spec], [one], [ids])
                out = foundation.model(
                    inputs_embeds=whole.embeds, attention_mask=whole.mask, position_ids=whole.positions
                )
                likelihoods = torch.log_softmax(out.logits[0].double(), dim=-1)[-len(ids) - 1 : -1]
            totals.append(float(likelihoods[torch.arange(len(ids)), torch.tensor(ids)].sum()))
        assert answer.score == pytest.approx(
            1 / (1 + pow(2.718281828459045, totals[1] - totals[0])), abs=2e-6
        )
        assert answer.text == ("Abnormal" if totals[0] > totals[1] else "Normal heart")


def test_yes_no_by_generation_is_an_option() -> None:
    """`answering: generation` decodes text and gives no score."""
    method = make_method("fedplug", [SIGNAL], options={"answering": "generation"})
    answer = method.predict(TASKS[SIGNAL], [make_inputs(SIGNAL, 0)])[0]
    assert answer.score is None


def test_the_expert_weights_are_a_distribution_also_for_a_task_never_trained() -> None:
    """alpha sums to one and reacts to the task's description."""
    method = make_method("fedkim", [SIGNAL])
    seen, unseen = (method.expert_weights(TASKS[task]) for task in (SIGNAL, "ectopic_beats_detection"))
    assert seen is not None and unseen is not None
    assert sum(seen) == pytest.approx(1, abs=1e-5) and len(seen) == 12 and seen != unseen


def test_the_optimiser_is_adam_with_warm_up_then_decay() -> None:
    """10% of the steps rise, the rest fall, over all rounds together."""
    method = make_method("fedplug", [SIGNAL], batch_size=1, rounds=10, learning_rate=1.0)
    rates = []
    for number in range(10):
        method.inject(no_knowledge(), {SIGNAL: make_examples(SIGNAL, 2)}, number)
        rates.append(method.state_dict()["optimiser"]["schedule"]["_last_lr"][0])
    assert (
        max(rates) == rates[0]
        and rates == sorted(rates, reverse=True)
        and rates[-1] == pytest.approx(0, abs=0.06)
    )
