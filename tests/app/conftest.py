"""A page that is served, and a browser that looks at it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import pytest

from i2i_dds import EditPipeline
from i2i_dds.app.jobs import Stops
from i2i_dds.app.page import PageSettings, served

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
"""Of Chromium, so that it asks for nothing by itself."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


_PATIENCE = 60_000
"""Milliseconds until a state counts as never reached, also on a machine that is busy."""

_CALLS_BEFORE = 8
"""Of the teacher's network, until it stands still; a step of the page's editors asks two."""


def wait_for_text(page: Any, selector: str, text: str) -> None:
    """Waits until an element shows a text; the page may replace the element at each step."""
    page.wait_for_function(
        "([one, text]) => !!document.querySelector(one)?.innerText.includes(text)",
        arg=[selector, text],
    )


def click_and_finish(page: Any, tab: str) -> Path:
    """Clicks a tab's button, waits, and gives the folder of the result, which is a new one.

    Whether the job was seen at work is not asked: a fast machine has done it between two looks.
    """
    done = page.locator(f"#{tab}-status .done")
    before = _folder(done.inner_text()) if done.count() else ""
    page.click(f"#{tab}-run")
    page.wait_for_function(
        "([done, before]) => {"
        " const text = document.querySelector(done)?.innerText;"
        " return !!text && text.split(' · ').pop().trim() !== before; }",
        arg=[f"#{tab}-status .done", before],
    )
    return Path(_folder(done.inner_text()))


def _folder(status: str) -> str:
    return status.split(" · ")[-1].strip()


@dataclass(frozen=True)
class Served:
    """A page and the folders it may read."""

    address: str
    out: Path
    runs: Path


@pytest.fixture(scope="session")
def pipe() -> EditPipeline:
    return EditPipeline.from_pretrained("pocket", device="cpu")


@pytest.fixture
def held_teacher(pipe: EditPipeline, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A teacher who stands still in the midst of the next job until that job is to stop.

    The pocket teacher comes to the end of the page's most steps before a click on a busy machine.
    """
    events: list[threading.Event] = []
    calls = iter(range(1_000_000))
    event_of = Stops.event

    def event(stops: Stops, page: str) -> threading.Event:
        events.append(event_of(stops, page))
        return events[-1]

    def stand_still(*_: Any) -> None:
        if next(calls) >= _CALLS_BEFORE:
            events[0].wait(_PATIENCE / 1000)

    monkeypatch.setattr(Stops, "event", event)
    hook = pipe.teacher.network.register_forward_pre_hook(stand_still)
    yield
    hook.remove()


@pytest.fixture(scope="session")
def served_page(pipe: EditPipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    pytest.importorskip("gradio", reason="Gradio, the extra app, is not installed")
    folder = tmp_path_factory.mktemp("page")
    settings = PageSettings(port=0, out=folder / "app", runs=(folder / "train",))
    with served(pipe, settings) as address:
        yield Served(address, folder / "app", folder / "train")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:  # a program of the system, which pip cannot bring; .ci/run installs it
        pytest.skip("no browser is here; apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright, TemporaryDirectory() as profile:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=chromium,
            headless=True,
            args=list(FLAGS),
            env={**os.environ, "HOME": profile},
            viewport={"width": 1280, "height": 900},
        )
        yield context
        context.close()


@pytest.fixture
def open_page(browser: Any, served_page: Served) -> Iterator[Callable[[], Any]]:
    """Opens the page in a tab of its own; at the end it has asked nobody else for anything."""
    asked, errors, tabs = [], [], []

    def open_one() -> Any:
        tab = browser.new_page()
        tabs.append(tab)
        tab.set_default_timeout(_PATIENCE)
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(served_page.address)
        tab.wait_for_selector("#edit-run")
        return tab

    yield open_one
    for tab in tabs:
        tab.close()
    own = urlsplit(served_page.address).netloc
    assert asked
    others = [url for url in asked if not url.startswith(("data:", "blob:"))]
    assert {urlsplit(url).netloc for url in others} == {own}
    assert errors == []
