"""A causal language model with random weights, small enough for any test: never for a results table."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["build_tiny"]


def build_tiny(seed: int = 0) -> tuple[Any, Any]:
    """A two-layer Llama of width 32 over bytes, and its tokenizer; the weights follow from the seed alone."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    # Whole words for the two fixed answers: a yes/no answer is then one token, as in real tokenizers.
    words = ["ĠYes", "ĠNo"]
    vocabulary = {token: index for index, token in enumerate(["<|end|>", *alphabet, *words])}
    vocabulary |= {token: len(vocabulary) + index for index, token in enumerate(["ĠY", "es", "ĠN", "ĠYe"])}
    merges = [("Ġ", "Y"), ("e", "s"), ("ĠY", "es"), ("Ġ", "N"), ("ĠN", "o")]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>")
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return LlamaForCausalLM(config), fast
