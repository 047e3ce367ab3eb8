"""Speed and memory of M3OE, each as a ratio against a named reference, measured side by side in one run.

    python benchmarks/bench_m3oe.py [--quick] [--json] [--only KEY ...] [--repeats N] [--threads N] [--torch-products]

Repetitions of the two sides alternate, and a ratio is the median over pairs, so that a busy machine slows
both; on a very busy one, `--clock cpu` counts the process's own time instead of the wall's. Where a ratio is
measured at several widths, the worst is reported under its key and each under `details`. float32 on a CPU,
bfloat16 where there is a GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from einsum_experts import ALPHA, DROPOUT, EXPERTS, RANK, EinsumExperts, with_einsum_experts
from ratios import Bound, Ratios, Settings, table, worst
from torch import Tensor, nn
from torch.nn import functional as F

from fedmeki_bench.modeling.cpu_products import float32_products

ROWS, TOKENS = 4, 256
WIDTHS = (2048, 4096)
ECG_TOKENS = 23
"""Twelve leads and the eleven words of `ecg_abnormal_detection`."""
DESCRIPTIONS = {name: {"task": list(range(1, 21)), "modalities": list(range(21, 61))} for name in ("a", "b")}


BOUNDS = {
    "einsum_over_ours_time": Bound("one layer, forward + backward: P-fold einsum over ours", 2.0, True),
    "einsum_over_ours_memory": Bound("the same: activations kept for the backward pass", 5.0, True),
    "ours_over_lora96_time": Bound("one layer, forward + backward: ours over PEFT's LoRA, rank 96", 1.10, False),
    "merged_over_base_time": Bound("one block, answering: merged over the bare model", 1.02, False),
    "fedkim_over_fedplug_l_step": Bound("server step on smollm2-135m: FedKIM over FedPlug_L (rank 8)", 1.40, False),
    "fedkim_over_fedplug_l_block_7b": Bound("the same on one block of the 7B shapes", 1.15, False),
    "yesno_over_sampling": Bound("answers a second: yes/no by likelihood over sampling 16 tokens", 4.0, True),
}


def kept_bytes(run: Callable[[], Tensor], parameters: list[Tensor]) -> int:
    """Bytes of the distinct tensors that autograd keeps for the backward pass of `run`, without parameters."""
    own = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = run()
    assert result.requires_grad
    return sum(storage.nbytes() for storage in kept.values())


def layer_ratios(settings: Settings) -> Ratios:
    """The three ratios of one adapted layer, by width."""
    found: Ratios = {}
    for width in settings.widths:
        for key, value in _layer_ratios(width, settings).items():
            found.setdefault(key, {})[str(width)] = value
    return found


def _layer_ratios(width: int, settings: Settings) -> dict[str, float]:
    from peft import LoraConfig
    from peft.tuners.lora import Linear as LoraLinear

    from fedmeki_bench.modeling.m3oe.product import expert_product

    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int, scale: float = 1.0) -> Tensor:
        return (torch.randn(*shape, generator=generator) * scale).to(settings.device)

    rank = EXPERTS * RANK
    base = nn.Linear(width, width, bias=False).to(settings.device, settings.dtype).requires_grad_(False)
    x = draw(ROWS, settings.tokens, width).to(settings.dtype).requires_grad_(True)
    gradient = draw(ROWS, settings.tokens, width).to(settings.dtype)
    a, b = draw(rank, width, scale=width**-0.5), draw(width, rank, scale=0.01)
    alpha = draw(ROWS, EXPERTS).softmax(1).requires_grad_(True)
    einsum = EinsumExperts(base, alpha, a, b)
    config = LoraConfig(r=rank, lora_alpha=rank * ALPHA // RANK, lora_dropout=DROPOUT)
    lora = LoraLinear(base, "default", config=config, r=rank, lora_alpha=rank * ALPHA // RANK)
    lora.to(settings.device)
    a.requires_grad_(True)
    b.requires_grad_(True)

    def ours(x: Tensor) -> Tensor:
        columns = alpha.repeat_interleave(RANK, dim=1)[:, None] * (ALPHA / RANK)
        return expert_product(base(x), x, a, b, columns, dropout=DROPOUT)

    def both_ways(run: Callable[[Tensor], Any]) -> Callable[[], None]:
        return lambda: run(x).backward(gradient)

    own = [base.weight, a, b, einsum.a, einsum.b]
    return {
        "einsum_over_ours_time": settings.ratio(both_ways(einsum), both_ways(ours), settings.few),
        "einsum_over_ours_memory": kept_bytes(lambda: einsum(x), own) / kept_bytes(lambda: ours(x), own),
        "ours_over_lora96_time": settings.ratio(both_ways(ours), both_ways(lora), settings.repeats),
    }


def _block_config(width: int) -> Any:
    from fedmeki_bench.modeling.shapes import foundation_config

    config = foundation_config("mmedlm2")
    # One block, and a vocabulary too small to matter: the ratio is the block's.
    config.num_hidden_layers, config.vocab_size = 1, 64
    scale = 4096 // width
    config.hidden_size, config.intermediate_size = width, config.intermediate_size // scale
    config.num_attention_heads, config.num_key_value_heads = 32 // scale, 8 // scale
    config.rope_parameters = {"rope_type": "default", "rope_theta": 1e6}
    return config


def _block(width: int, settings: Settings) -> Any:
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(_block_config(width)).to(settings.device, settings.dtype).eval().requires_grad_(False)


def _fedkim(base: Any) -> Any:
    from peft import get_peft_model

    from fedmeki_bench.modeling.m3oe import M3OEConfig

    return get_peft_model(base, M3OEConfig(descriptions=DESCRIPTIONS))


def _fedplug_l(base: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    return get_peft_model(base, LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=DROPOUT, target_modules=targets))


def merged_ratios(settings: Settings) -> Ratios:
    """Answering by one block: merged over bare, by width."""
    return {"merged_over_base_time": {str(width): _merged_ratio(width, settings) for width in settings.widths}}


def _merged_ratio(width: int, settings: Settings) -> float:
    bare, adapted = _block(width, settings), _fedkim(_block(width, settings)).eval()
    shape = (ROWS, settings.tokens, width)
    inputs = {
        "inputs_embeds": torch.randn(*shape).to(settings.device, settings.dtype),
        "attention_mask": torch.ones(*shape[:2], dtype=torch.long, device=settings.device),
        "logits_to_keep": 1,
        "use_cache": False,
    }
    with torch.inference_mode(), adapted.base_model.merged("a"):
        return settings.ratio(lambda: adapted(**inputs), lambda: bare(**inputs), settings.repeats)


def _step(model: Any, settings: Settings, width: int) -> Callable[[], None]:
    """A whole step of the server on one batch: forward, loss at the answers, backward, clip, Adam."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-6, betas=(0.9, 0.95), weight_decay=1e-4)
    generator = torch.Generator().manual_seed(1)
    shape = (ROWS, settings.tokens, width)
    embeddings = (torch.randn(*shape, generator=generator) * 0.1).to(settings.device, settings.dtype)
    # The encoders in front of the model train too, so its input needs a gradient.
    embeddings.requires_grad_(True)
    mask = torch.ones(ROWS, settings.tokens, dtype=torch.long, device=settings.device)
    targets = torch.randint(0, 64, (ROWS, 2), generator=generator).to(settings.device)
    tasks = ["a", "b", "a", "b"]
    route = getattr(model.base_model, "route", None)

    def forward() -> Tensor:
        logits: Tensor = model(inputs_embeds=embeddings, attention_mask=mask, logits_to_keep=3, use_cache=False).logits
        return F.cross_entropy(logits[:, :-1].float().flatten(0, 1), targets.flatten())

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        if route is None:
            loss = forward()
        else:
            with route(tasks):
                loss = forward()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()

    model.train()
    return step


def block_step_ratio(settings: Settings) -> Ratios:
    """A server step on one block of the 7B shapes: FedKIM over FedPlug_L."""
    fedkim = _step(_fedkim(_block(4096, settings)), settings, 4096)
    fedplug_l = _step(_fedplug_l(_block(4096, settings)), settings, 4096)
    ratio = settings.ratio(fedkim, fedplug_l, settings.few)
    return {"fedkim_over_fedplug_l_block_7b": {"4096": ratio}}


def _smollm2(settings: Settings) -> Any:
    from fedmeki_bench.modeling.foundation import load_foundation_model

    return load_foundation_model("smollm2-135m", device=settings.device, dtype=settings.dtype)


def smollm2_step_ratio(settings: Settings) -> Ratios:
    """A server step on the whole of smollm2-135m: FedKIM over FedPlug_L."""
    first, second = _smollm2(settings), _smollm2(settings)
    fedkim = _step(_fedkim(first.model), settings, first.width)
    fedplug_l = _step(_fedplug_l(second.model), settings, second.width)
    ratio = settings.ratio(fedkim, fedplug_l, settings.few)
    return {"fedkim_over_fedplug_l_step": {"576": ratio}}


def yesno_ratio(settings: Settings) -> Ratios:
    """Examples answered a second: one forward pass for both answers over sampling 16 tokens as the release does.

    With the bare model on both sides, so that the difference is the answering alone, at the common length and at
    that of an ECG task's prompts; and with FedKIM as each side has it: experts merged here, every expert's output
    in full in every layer there.
    """
    foundation = _smollm2(settings)
    release, merged = with_einsum_experts(_smollm2(settings).model, ROWS), _fedkim(_smollm2(settings).model).eval()
    with merged.base_model.merged("a"):
        return {
            "yesno_over_sampling": {
                f"576, {name}, {tokens} tokens": _yesno_ratio(foundation, theirs, ours, tokens, settings)
                for name, theirs, ours, tokens in (
                    ("bare model", foundation.model, foundation.model, settings.tokens),
                    ("bare model", foundation.model, foundation.model, ECG_TOKENS),
                    ("FedKIM", release, merged, settings.tokens),
                )
            }
        }


def _yesno_ratio(foundation: Any, theirs: Any, ours: Any, tokens: int, settings: Settings) -> float:
    answers = [foundation.tokenize(text)[0] for text in (" Yes", " No")]
    shape = (ROWS, tokens, foundation.width)
    inputs = {
        "inputs_embeds": torch.randn(*shape).to(settings.device, settings.dtype) * 0.1,
        "attention_mask": torch.ones(*shape[:2], dtype=torch.long, device=settings.device),
    }

    @torch.inference_mode()
    def yes_no() -> Tensor:
        logits = ours(**inputs, logits_to_keep=1, use_cache=False).logits
        chosen: Tensor = logits[:, -1].double().log_softmax(-1)[:, answers].argmax(-1)
        return chosen

    @torch.inference_mode()
    def sampling() -> object:
        end = foundation.end()
        lengths = {"min_new_tokens": 16, "max_new_tokens": 16}
        return theirs.generate(**inputs, **lengths, do_sample=True, temperature=1.0, pad_token_id=end)

    return settings.ratio(sampling, yes_no, settings.few)


MEASUREMENTS: dict[Callable[[Settings], Ratios], tuple[str, ...]] = {
    layer_ratios: ("einsum_over_ours_time", "einsum_over_ours_memory", "ours_over_lora96_time"),
    merged_ratios: ("merged_over_base_time",),
    smollm2_step_ratio: ("fedkim_over_fedplug_l_step",),
    block_step_ratio: ("fedkim_over_fedplug_l_block_7b",),
    yesno_ratio: ("yesno_over_sampling",),
}
"""Each measurement with the keys it gives."""


def main() -> None:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="width 2048 only, few repetitions, 128 tokens")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--only", nargs="+", choices=list(BOUNDS), help="measure these keys only")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's)")
    parser.add_argument("--repeats", type=int, help="pairs of a small measurement (default 9, quick 5)")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="what is timed")
    parser.add_argument(
        "--torch-products", action="store_true", help="torch's choice for float32 products, not a run's"
    )
    parser.add_argument("-o", "--output", type=Path, help="also write the JSON object here")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    cuda = torch.cuda.is_available()
    settings = Settings(
        device=torch.device("cuda" if cuda else "cpu"),
        dtype=torch.bfloat16 if cuda else torch.float32,
        repeats=arguments.repeats or (5 if arguments.quick else 9),
        widths=WIDTHS[:1] if arguments.quick else WIDTHS,
        tokens=128 if arguments.quick else TOKENS,
        clock=time.perf_counter if arguments.clock == "wall" else time.process_time,
    )
    details: Ratios = {}
    with nullcontext("default") if arguments.torch_products else float32_products(settings.device) as products:
        for measure, keys in MEASUREMENTS.items():
            if not arguments.only or set(keys) & set(arguments.only):
                print(f"measuring {', '.join(keys)}", file=sys.stderr, flush=True)
                measured = measure(settings)
                print(json.dumps(measured), file=sys.stderr, flush=True)
                details |= measured
    values = {key: round(worst(BOUNDS[key], by_width), 3) for key, by_width in details.items()}
    report = {
        **values,
        "details": {key: {name: round(value, 3) for name, value in found.items()} for key, found in details.items()},
        "bounds": {key: f"{'>=' if BOUNDS[key].at_least else '<='} {BOUNDS[key].limit}" for key in values},
        "setting": {
            "device": torch.cuda.get_device_name() if cuda else "cpu",
            "threads": torch.get_num_threads(),
            "clock": arguments.clock,
            "dtype": str(settings.dtype).removeprefix("torch."),
            "float32_products": products,
            "rows": ROWS,
            "tokens": settings.tokens,
            "torch": torch.__version__,
        },
    }
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1) if arguments.json else table(details, BOUNDS))


if __name__ == "__main__":
    main()
