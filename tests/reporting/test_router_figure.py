"""The router's heat map: rows by task, the scale as small as the router is undecided."""

from __future__ import annotations

import pytest

from fedmeki_bench.reporting.router_figure import draw_router


def record(*routers: tuple[str, list[float] | None]) -> dict[str, object]:
    """A record of one entry with these tasks' expert weights."""
    evaluations = [
        {"protocol": "zero_shot", "task": task, "diagnostics": {"router": weights} if weights else {}}
        for task, weights in routers
    ]
    return {"tasks": {"a_task": {"short": "A"}}, "details": {"entry": {"seeds": [{"evaluations": evaluations}]}}}


def test_each_task_is_a_row_and_the_colour_scale_is_the_largest_deviation() -> None:
    """Weights of 0.26 among four experts are 4% above an even mixture."""
    figure = draw_router(record(("a_task", [0.26, 0.24, 0.25, 0.25]), ("other", [0.25] * 4)))
    assert figure is not None
    panel = figure.axes[0]
    assert [text.get_text() for text in panel.get_yticklabels()] == ["A", "other"]
    assert panel.images[0].norm.vmax == pytest.approx(4.0)
    assert panel.images[0].get_array()[0].tolist() == pytest.approx([4.0, -4.0, 0.0, 0.0])


def test_nothing_is_drawn_where_nothing_routes() -> None:
    """No empty figure."""
    assert draw_router(record(("a_task", None))) is None
