"""A bundle is data: nothing of it is run, imported, followed, unpacked or held in memory whole."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from fedmeki_bench.submissions import Labels, check_bundle
from tests.submissions.builders import bundle_with_seeds, reseal

TRAP = "import pathlib\npathlib.Path(__file__).with_name('TRAPPED').touch()\nraise SystemExit('trapped')\n"
TRAPS = ("method.py", "conftest.py", "sitecustomize.py", "json.py", "click.py", "setup.py")

WATCH = """
import sys
bundle = sys.argv[1]
caught, code = [], 0
FORBIDDEN = {"pickle.find_class", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.symlink",
             "os.link", "socket.connect", "socket.getaddrinfo", "shutil.unpack_archive"}
def inside(value):
    return bundle in str(getattr(value, "co_filename", value))
FORBIDDEN = {"pickle.find_class", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.symlink",
             "os.link", "socket.connect", "socket.getaddrinfo", "shutil.unpack_archive"}
def inside(value):
    return bundle in str(getattr(value, "co_filename", value))
FORBIDDEN = {"pickle.find_class", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.symlink",
             "os.link", "socket.connect", "socket.getaddrinfo", "shutil.unpack_archive"}
def inside(value):
    return bundle in str(getattr(value, "co_filename", value))
def watch(event, args):
    if event in FORBIDDEN:
        caught.append((event, args))
    if event == "import" and any(isinstance(value, str) and inside(value) for value in args):
        caught.append((event, args))
    if event in ("compile", "exec") and any(map(inside, args)):
        caught.append((event, args))
    if event == "open" and inside(args[0]) and any(mode in str(args[1]) for mode in "wax+"):
        caught.append((event, args))
sys.addaudithook(watch)
from fedmeki_bench.cli import main
try:
    main(["check", *sys.argv[1:]])
except SystemExit as stop:
    code = stop.code
print("CAUGHT", caught)
print("HEAVY", sorted({"torch", "transformers", "datasets"} & set(sys.modules)))
sys.exit(code or 0)
"""


@pytest.fixture(scope="module")
def trapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trapped")
    bundle = bundle_with_seeds(root, n=6)
    for name in TRAPS:
        (bundle / name).write_text(TRAP, encoding="utf-8")
    reseal(bundle)
    return root


def test_no_submitted_code_is_imported_run_or_unpickled(trapped: Path, tmp_path: Path) -> None:
    bundle = trapped / "submissions/mine"
    watcher = tmp_path / "watch.py"
    watcher.write_text(textwrap.dedent(WATCH), encoding="utf-8")
    command = [sys.executable, str(watcher), str(bundle), "--labels", str(trapped / "runs/0/labels")]
    # The bundle itself is the working folder: the likeliest way of importing from it by accident.
    done = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ACCEPTED" in done.stdout
    assert "CAUGHT []" in done.stdout
    assert "HEAVY []" in done.stdout
    assert not (bundle / "TRAPPED").exists()


def test_checking_leaves_the_bundle_as_it_was(trapped: Path) -> None:
    bundle = trapped / "submissions/mine"
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in bundle.rglob("*")}
    check_bundle(bundle, Labels.from_folder(trapped / "runs/0/labels"))
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in bundle.rglob("*")} == before


MEASURE = """
import resource, sys
from pathlib import Path
from fedmeki_bench.submissions import Labels, check_bundle
labels = Labels.from_folder(Path(sys.argv[2]))
check_bundle(Path(sys.argv[3]), labels)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report = check_bundle(Path(sys.argv[1]), labels)
print(report.ok, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def _memory_grown(path: Path, root: Path) -> int:
    """Kilobytes by which the peak memory of a process grows when it checks `path` after a small bundle."""
    small = root / "submissions/mine"
    command = [sys.executable, "-c", MEASURE, str(path), str(root / "runs/0/labels"), str(small)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ok, grown = done.stdout.split()
    assert ok == "False"
    return int(grown)


def _long_zip(bundle: Path, lines: int, row: bytes) -> Path:
    path = bundle.with_name(f"long-{len(row)}.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(bundle.rglob("*.json")):
            archive.write(file, str(file.relative_to(bundle)))
        with archive.open("seed-0/predictions/multi_task/covid_detection.jsonl", "w", force_zip64=False) as handle:
            for start in range(0, lines, 10_000):
                handle.write(b"".join(row % index for index in range(start, min(start + 10_000, lines))))
    return path


def test_ten_million_lines_do_not_exhaust_the_memory(tmp_path: Path) -> None:
    bundle = bundle_with_seeds(tmp_path, n=6)
    with (bundle / "seed-0/predictions/multi_task/covid_detection.jsonl").open("wb") as handle:
        for _ in range(100):
            handle.write(b"{}\n" * 100_000)
    assert _memory_grown(bundle, tmp_path) < 40_000


@pytest.mark.slow
def test_a_million_valid_rows_in_a_zip_do_not_exhaust_the_memory(tmp_path: Path) -> None:
    bundle = bundle_with_seeds(tmp_path, n=6)
    path = _long_zip(bundle, 1_000_000, b'{"id": "%08d", "answer": "Yes"}\n')
    assert _memory_grown(path, tmp_path) < 40_000
