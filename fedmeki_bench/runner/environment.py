"""Where and with what a run took place: provenance, device, memory."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from fedmeki_bench import __version__
from fedmeki_bench.errors import UsageError
from fedmeki_bench.modeling.cpu_products import ProductLibrary

__all__ = ["StageClock", "offline", "pick_device", "provenance"]

RECORDED_PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "timm",
    "datasets",
    "numpy",
    "scikit-learn",
    "nltk",
    "rouge-score",
)


def pick_device(name: str, dtype: str = "auto") -> tuple[torch.device, torch.dtype]:
    """Device and type of the frozen weights; `auto`: CUDA if there is one, bfloat16 where the GPU has it, else float32.

    Raises:
        UsageError: the device does not exist here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"unknown device {name!r}", expected="auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device here", found=name, fix="use --device cpu or auto")
    if dtype != "auto":
        return device, {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype]
    half = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return device, torch.bfloat16 if half else torch.float32


@contextmanager
def offline(allowed: bool) -> Iterator[None]:
    """Tell the hub's libraries not to use the network inside the block, unless it is `allowed`."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
    before = {name: os.environ.get(name) for name in names}
    if not allowed:
        os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _git(*arguments: str) -> str | None:
    try:
        run = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip()


def provenance(device: torch.device, dtype: torch.dtype, products: ProductLibrary, started: str) -> dict[str, Any]:
    """Versions, commit (None outside a checkout), platform, device, who computed float32 products, times in UTC."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    status = _git("status", "--porcelain")
    return {
        "version": __version__,
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": None if status is None else bool(status),
        "python": platform.python_version(),
        "packages": {package: version(package) for package in RECORDED_PACKAGES},
        "platform": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "device": f"{device.type}: {name}",
        "dtype": str(dtype).removeprefix("torch."),
        "float32_products": products,
        "started": started,
        "finished": utc_now(),
    }


def utc_now() -> str:
    """Now, in UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class StageClock:
    """Wall time and peak memory of each stage; a stage entered again adds to its time."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._wall: dict[str, float] = {}
        self._peak: dict[str, int] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the block as (part of) a stage."""
        _reset_peak(self._device)
        start = time.perf_counter()
        try:
            yield
        finally:
            self._wall[name] = self._wall.get(name, 0.0) + time.perf_counter() - start
            self._peak[name] = max(self._peak.get(name, 0), _peak(self._device))

    def record(self) -> list[dict[str, Any]]:
        """The stages in the order in which they were first entered."""
        return [
            {"stage": name, "wall_s": round(wall, 3), "peak_memory_bytes": self._peak[name]}
            for name, wall in self._wall.items()
        ]


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    # Linux lets a process reset its own peak ("5"); elsewhere the peak is that of the whole process so far.
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        try:
            reset.write_text("5", encoding="ascii")
        except OSError:
            return


def _peak(device: torch.device) -> int:
    """Bytes: of the GPU where the run uses one, else resident memory of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
