"""Where packages lie: everything else about the distribution is in pyproject.toml.

`tasks/`, `baselines/` and the published numbers stand at the top of the repository, where
contributors look for them, and inside the package once installed, where no other distribution's
top-level name can collide with them.
"""

from setuptools import find_packages, setup

TOP_LEVEL_FOLDERS = {
    "fedmeki_bench.tasks": "tasks",
    "fedmeki_bench.baselines": "baselines",
    "fedmeki_bench.published": "leaderboard/published",
}

setup(
    packages=[*find_packages(include=["fedmeki_bench", "fedmeki_bench.*"]), *TOP_LEVEL_FOLDERS],
    package_dir=TOP_LEVEL_FOLDERS,
)
