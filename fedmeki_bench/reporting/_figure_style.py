"""What all figures share: colours, markers, type, and how an empty one is made.

Colours are Okabe and Ito's, told apart by colour-blind readers; markers and line styles differ as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "INK", "LINES", "MARKERS", "figure_style", "new_figure"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D00", "#7F7F7F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
LINES = ("-", "--", "-.", ":")

INK = "#010203"
"""Colour of text and axes; in the page's SVG it becomes the page's own text colour, light or dark."""


@contextmanager
def figure_style() -> Iterator[None]:
    """matplotlib's settings for drawing and writing, inside the block only."""
    import matplotlib

    settings = {
        "font.size": 9,
        "font.family": "sans-serif",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "grid.color": "#808080",
        "grid.alpha": 0.25,
        "legend.frameon": False,
        # Names come from submissions: a dollar sign is a dollar sign, not mathematics.
        "text.parse_math": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "fedmeki-bench",
        "pdf.fonttype": 42,
        "figure.constrained_layout.use": True,
    }
    with matplotlib.rc_context(settings):  # type: ignore[arg-type]
        yield


def new_figure(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure of `width` x `height` inches with its panels, row by row; options are those of `Figure.subplots`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(axes.flat)
