"""The page: its tabs, its looks, and its server."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from i2i_dds import EditPipeline, UserError
from i2i_dds.app.guard import guards
from i2i_dds.app.history import History
from i2i_dds.app.jobs import Stops
from i2i_dds.app.pictures import MOST_BYTES
from i2i_dds.app.requests import TeacherName

TITLE = "i2i_dds"
_MOST_WAITING = 16
"""Jobs in the queue."""

_DAY = 86400
"""Seconds; files of pages that were left are removed after it."""


@dataclass(frozen=True)
class PageSettings:
    """How the page is served.

    Attributes:
        host: Address it listens at; the loopback one is reached from this machine only.
        port: 0 takes a free one.
        out: Where results go.
        runs: Folders whose trainings can be looked at.
        teacher: How the teacher is asked for elsewhere.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    out: Path = Path("outputs/app")
    runs: tuple[Path, ...] = (Path("outputs/train"),)
    teacher: TeacherName = field(default_factory=TeacherName)


def import_gradio() -> Any:
    """Gradio, with what it would tell its makers switched off.

    Raises:
        UserError: It is not installed.
    """
    if find_spec("gradio") is None:
        raise UserError("app: Gradio is not installed; pip install 'i2i-dds[app]'")
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio

    logging.getLogger("httpx").setLevel(logging.WARNING)  # of its questions to its own server
    return gradio


def build_page(pipe: EditPipeline, settings: PageSettings) -> Any:
    """The page on a teacher, not yet served."""
    gr = import_gradio()
    from i2i_dds.app import markup
    from i2i_dds.app.drag_tab import DragTab
    from i2i_dds.app.edit_tab import EditTab
    from i2i_dds.app.runs_tab import RunsTab
    from i2i_dds.app.students import Students

    stops, history = Stops(), History(settings.out)
    students = Students(settings.runs, pipe)
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(_DAY, _DAY)) as page:
        gr.HTML(markup.header(settings.teacher.path), padding=False)
        with gr.Tab("Edit", id="edit"):
            tab = EditTab(pipe, settings.teacher, history, stops, students)
        with gr.Tab("Drag", id="drag"):
            DragTab(pipe, settings.teacher, history, stops)
        with gr.Tab("Runs", id="runs") as runs:
            RunsTab(settings.runs, students, stops).open_with(runs)
        page.unload(tab.forget)
    return page.queue(max_size=_MOST_WAITING, default_concurrency_limit=4, api_open=False)


@contextmanager
def served(pipe: EditPipeline, settings: PageSettings) -> Iterator[str]:
    """Serves the page as long as the body runs.

    Yields:
        Its address.

    Raises:
        UserError: Gradio is not installed, or the port is taken.
    """
    gr = import_gradio()
    with TemporaryDirectory(prefix="i2i_dds-app-") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads
        page = build_page(pipe, settings)
        try:
            _, address, _ = page.launch(
                server_name=settings.host,
                server_port=settings.port or _free_port(settings.host),
                prevent_thread_lock=True,
                share=False,
                quiet=True,
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                enable_monitoring=False,
                footer_links=[],
                max_file_size=MOST_BYTES,
                theme=_theme(gr),
                css_paths=Path(__file__).with_name("style.css"),
                app_kwargs={"middleware": guards(settings.host)},
            )
        except OSError as error:
            raise UserError(
                f"port: {settings.port} of {settings.host} cannot be listened at; "
                "give another, or 0 for a free one"
            ) from error
        try:
            yield address
        finally:
            page.close(verbose=False)


def _free_port(host: str) -> int:
    import socket

    with socket.socket() as one:
        one.bind((host, 0))
        return one.getsockname()[1]


def _theme(gr: Any) -> Any:
    """Fonts of the machine that shows the page, for none is fetched."""
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
    mono = ["ui-monospace", "SF Mono", "Menlo", "DejaVu Sans Mono", "monospace"]
    theme = gr.themes.Soft(
        primary_hue="teal", secondary_hue="teal", neutral_hue="zinc", font=fonts, font_mono=mono
    )
    return theme.set(
        body_background_fill="*neutral_100",
        body_text_color_subdued="*neutral_600",
        block_border_width="1px",
        input_border_width="1px",
        checkbox_border_color="*neutral_400",
        checkbox_label_background_fill_selected="*primary_700",
        checkbox_label_background_fill_selected_dark="*primary_700",
        color_accent="*primary_700",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_600",
        block_title_padding="0",
        block_title_text_weight="500",
        block_title_text_color="*body_text_color_subdued",
        block_title_text_color_dark="*body_text_color_subdued",
        block_title_background_fill="transparent",
        block_title_background_fill_dark="transparent",
        block_label_text_color="*body_text_color_subdued",
        block_label_text_color_dark="*body_text_color_subdued",
        block_label_background_fill="*background_fill_primary",
        block_label_background_fill_dark="*background_fill_primary",
    )
