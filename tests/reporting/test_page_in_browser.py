"""The HTML page in a real browser: sort, filter, deep links, keyboard, no error, no request to anybody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmeki_bench.reporting.leaderboard import Built
from tests.reporting.browser import Browser, chromium, open_browser

pytestmark = pytest.mark.skipif(chromium() is None, reason="Chromium is not installed")

VISIBLE = "[...document.querySelectorAll('.view.current .board tbody tr')].filter((row) => !row.hidden)"
COLUMNS = "[...document.querySelectorAll('.view.current thead [data-metric]')].filter((cell) => !cell.hidden)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser(chromium() or "") as opened:
        yield opened


@pytest.fixture
def page(browser: Browser, board: tuple[Path, Built]) -> Iterator[tuple[Browser, Path]]:
    browser.messages.clear()
    browser.requests.clear()
    path = board[0] / "index.html"
    browser.open(path)
    yield browser, path
    assert browser.messages == []
    assert all(address.startswith((path.as_uri(), "data:", "about:")) for address in browser.requests)


def values(browser: Browser, column: str) -> list[str]:
    task, metric = column.split(".")
    cell = f"[data-task={task}][data-metric={metric}]"
    return list(browser.run(f"{VISIBLE}.map((row) => row.querySelector('{cell}').firstChild.textContent.trim())"))


def click(browser: Browser, selector: str) -> None:
    browser.run(f"document.querySelector({selector!r}).click()")


def test_the_first_view_is_shown_alone(page: tuple[Browser, Path]) -> None:
    shown = "[...document.querySelectorAll('.view')].filter((one) => one.offsetHeight).map((one) => one.dataset.view)"
    assert page[0].run(shown) == ["multi_task"]


def test_a_click_sorts_and_missing_numbers_stay_last(page: tuple[Browser, Path]) -> None:
    browser, column = page[0], "covid_detection.balanced_accuracy"
    head = f'.view.current [data-column="{column}"] button'
    click(browser, head)
    numbers = [float(value) for value in values(browser, column) if value != "–"]
    assert numbers == sorted(numbers, reverse=True)
    assert values(browser, column)[-1] == "–"
    click(browser, head)
    found = values(browser, column)
    assert [float(v) for v in found if v != "–"] == sorted(numbers) and found[-1] == "–"
    sort = f"document.querySelector('.view.current [data-column=\"{column}\"]').getAttribute('aria-sort')"
    assert browser.run(sort) == "ascending"
    click(browser, head)
    assert browser.run(sort) is None


def test_enter_on_a_focused_heading_sorts(page: tuple[Browser, Path]) -> None:
    browser = page[0]
    browser.run("document.querySelector('.view.current [data-column=\"covid_detection.accuracy\"] button').focus()")
    browser.press("Enter", 13)
    assert "covid_detection.accuracy" in browser.run("location.hash")


def test_the_search_keeps_rows_whose_name_fits(page: tuple[Browser, Path]) -> None:
    browser = page[0]
    browser.run("search.value = 'ffa'; search.dispatchEvent(new Event('input'))")
    assert browser.run(f"{VISIBLE}.map((row) => row.cells[0].querySelector('a').textContent)") == ["ffa_lora"]
    browser.run("search.value = 'nothing like it'; search.dispatchEvent(new Event('input'))")
    assert browser.run("!document.querySelector('.view.current .nothing').hidden")


def test_kinds_can_be_switched_off(page: tuple[Browser, Path]) -> None:
    browser = page[0]
    click(browser, 'input[value="published"]')
    assert "published" not in browser.run(f"{VISIBLE}.map((row) => row.dataset.kind)")


def test_a_task_shows_its_metrics_alone(page: tuple[Browser, Path]) -> None:
    browser = page[0]
    browser.run("task.value = 'covid_detection'; task.dispatchEvent(new Event('change'))")
    assert set(browser.run(f"{COLUMNS}.map((cell) => cell.dataset.task)")) == {"covid_detection"}
    assert "auroc" in browser.run(f"{COLUMNS}.map((cell) => cell.dataset.metric)")


def test_intervals_are_shown_on_demand(page: tuple[Browser, Path]) -> None:
    browser = page[0]
    shown = "getComputedStyle(document.querySelector('.view.current .interval')).display"
    assert browser.run(shown) == "none"
    click(browser, "#intervals")
    assert browser.run(shown) != "none"


def test_a_deep_link_restores_view_filters_and_order(page: tuple[Browser, Path]) -> None:
    browser, path = page
    sort = "sepsis_prediction.f1:asc"
    browser.open(path, f"#view=zero_shot&task=sepsis_prediction&kinds=own&sort={sort}&theme=dark")
    assert browser.run("document.querySelector('.view.current').dataset.view") == "zero_shot"
    assert set(browser.run(f"{VISIBLE}.map((row) => row.dataset.kind)")) == {"own"}
    found = [float(value) for value in values(browser, "sepsis_prediction.f1")]
    assert found == sorted(found) and len(found) > 1
    assert browser.run("document.documentElement.dataset.theme") == "dark"


def test_what_is_chosen_is_in_the_address(page: tuple[Browser, Path]) -> None:
    browser, path = page
    browser.run("metrics.value = 'all'; metrics.dispatchEvent(new Event('change'))")
    link = browser.run("location.hash")
    browser.open(path, link)
    assert browser.run("metrics.value") == "all"


def test_an_entry_has_a_page_with_answers_to_browse(page: tuple[Browser, Path], board: tuple[Path, Built]) -> None:
    browser, path = page
    key = next(key for key in board[1].record["details"] if "fedkim" in key)
    browser.open(path, f"#entry={key}")
    assert browser.run("[...document.querySelectorAll('.entry.current')].map((one) => one.dataset.entry)") == [key]
    rows = "document.querySelectorAll('.entry.current .examples tbody tr')"
    assert browser.run(f"{rows}.length") == 25
    click(browser, ".entry.current .next")
    assert "26 to 50 of 100" in browser.run("document.querySelector('.entry.current .count').textContent")
    browser.run(
        "(() => { const find = document.querySelector('.entry.current .find');"
        " find.value = 'CD-0003'; find.dispatchEvent(new Event('input')); })()"
    )
    assert browser.run(f"[...{rows}].map((row) => row.cells[0].textContent)") == ["CD-0003"]


def test_a_name_with_markup_stays_text(page: tuple[Browser, Path]) -> None:
    browser, path = page
    browser.open(path, "#view=figures")
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert browser.run("document.body.textContent.includes('<img src=x onerror=alert(1)>')")


@pytest.mark.parametrize("width", [360, 1600])
def test_nothing_makes_the_whole_page_scroll_sideways(page: tuple[Browser, Path], width: int) -> None:
    browser, path = page
    browser.resize(width, 900)
    for view in browser.run("[...document.querySelectorAll('.view')].map((one) => one.dataset.view)"):
        browser.open(path, f"#view={view}")
        assert browser.run("document.documentElement.scrollWidth <= window.innerWidth"), view
    browser.resize(1280, 900)


def test_every_control_has_a_name(page: tuple[Browser, Path]) -> None:
    unnamed = (
        "[...document.querySelectorAll('button, select, input')].filter((one) =>"
        " !(one.labels && one.labels.length) && !one.textContent.trim() && !one.ariaLabel).length"
    )
    assert page[0].run(unnamed) == 0


def test_ids_are_unique(page: tuple[Browser, Path]) -> None:
    repeated = (
        "(() => { const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);"
        " return ids.filter((id, at) => ids.indexOf(id) !== at); })()"
    )
    assert page[0].run(repeated) == []
