"""Tests of M3OE, of the InternLM2 mapping and of the planner."""

# First of all: it lets peft and transformers be imported beside a torchvision of another build.
import fedmeki_bench.modeling  # noqa: F401
