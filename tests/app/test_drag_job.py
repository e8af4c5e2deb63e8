import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from i2i_dds import UserError, example_picture
from i2i_dds.app.drag_item import ITEMS
from i2i_dds.app.drag_job import LORAS, Clicked, drag, save
from i2i_dds.app.history import History
from i2i_dds.app.jobs import Cancelled, Preview
from i2i_dds.app.requests import TeacherName
from i2i_dds.data.dragbench import list_items, load_item


def clicked(folder: Path, **given) -> Clicked:
    example_picture().save(folder / "upload.png")
    values = {"num_inference_steps": 10, "strength": 0.2, "radius": 6}
    asked = {
        "picture": str(folder / "upload.png"),
        "prompt": 'a "cat"',
        "clicks": [(30, 36), (42, 36), (10, 11), (12, 13), (5, 5)],
        "values": values,
        "masked": False,
        "painting": None,
        "seed": 0,
    }
    return Clicked(**{**asked, **given})


def test_a_saved_item_is_read_back_by_the_benchmark(tmp_path: Path) -> None:
    layer = np.zeros((64, 64, 4), np.uint8)
    layer[10:30, 20:40, 3] = 200
    history = History(tmp_path / "app")
    save(clicked(tmp_path, masked=True, painting={"layers": [layer]}), history)
    save(clicked(tmp_path), history)
    first, second = (load_item(one) for one in list_items(tmp_path / "app" / ITEMS).values())
    assert (np.asarray(first.image) == np.asarray(example_picture())).all()
    assert first.prompt == 'a "cat"'
    assert first.points == (((30, 36), (42, 36)), ((10, 11), (12, 13)))
    assert first.mask is not None and second.mask is not None
    assert (np.asarray(first.mask) == np.where(layer[..., 3], 255, 0)).all()
    assert np.asarray(second.mask).min() == 255
    with pytest.raises(UserError, match="points: a benchmark's item"):
        save(clicked(tmp_path, clicks=[(1, 1)]), history)


def test_a_lora_is_trained_once_for_a_picture_and_cancelled_when_asked(
    pipe, tmp_path: Path
) -> None:
    history, stop = History(tmp_path / "app"), threading.Event()
    asked = clicked(tmp_path, lora={"rank": 2, "steps": 3})

    def run() -> list[Any]:
        return list(drag(asked, pipe, TeacherName(), history, threading.Event()))

    cancelled = drag(asked, pipe, TeacherName(), history, stop)
    begun = next(cancelled)
    assert isinstance(begun, Preview) and begun.what.startswith("Learning")
    stop.set()
    with pytest.raises(Cancelled):
        list(cancelled)
    assert list((tmp_path / "app" / LORAS).glob("*.safetensors")) == []
    *previews, first = run()
    assert any(one.what.startswith("Learning") and one.steps == 3 for one in previews)
    assert first.settings["lora"] == "3 steps, trained now"
    *previews, second = run()
    assert not any(one.what.startswith("Learning") for one in previews)
    assert second.settings["lora"] == "3 steps, found again"
    assert (np.asarray(first.result) == np.asarray(second.result)).all()
    (adapter,) = (tmp_path / "app" / LORAS).glob("*.safetensors")
    assert "lora_settings={'rank': 2, 'steps': 3}" in first.python
    assert "lora.rank=2" in first.command and "lora.steps=3" in first.command
    assert f"lora_dir={adapter.parent}" in first.command and "use_lora=true" in first.command
