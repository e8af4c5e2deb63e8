import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i_dds import UserError, example_picture
from i2i_dds.app.edit_job import AUTO, BRUSH, EVERYTHING, FILE, Asked, edit
from i2i_dds.app.editors import BY_NAME, OFFERED, SCORES, STUDENT, preset_values
from i2i_dds.app.history import Entry, History
from i2i_dds.app.jobs import Cancelled, Preview
from i2i_dds.app.requests import TeacherName


@pytest.fixture
def run(pipe, tmp_path: Path):
    example_picture().save(tmp_path / "upload.png")

    def run(editor: str = "zero_shot", stop: bool = False, **given) -> list[Preview | Entry]:
        values = preset_values(editor, pipe.teacher.presets) | given.pop("values", {})
        asked = {
            "picture": str(tmp_path / "upload.png"),
            "source": "a cat",
            "target": "a lion",
            "mask": EVERYTHING,
            "painting": None,
            "own_size": False,
            "seed": 1,
            **given,
        }
        event = threading.Event()
        if stop:
            event.set()
        history = History(tmp_path / "history")
        return list(
            edit(Asked(editor=editor, values=values, **asked), pipe, TeacherName(), history, event)
        )

    return run


def painting() -> dict:
    layer = np.zeros((448, 448, 4), np.uint8)
    layer[100:300, 100:300, 3] = 200
    return {"layers": [layer]}


@pytest.mark.parametrize("name", [name for name in BY_NAME if name != STUDENT])
def test_every_editor_of_the_page_edits(run, name: str) -> None:
    mask = BRUSH if BY_NAME[name].needs_mask else EVERYTHING
    *previews, entry = run(name, mask=mask, painting=painting(), values={"num_inference_steps": 4})
    assert previews[0].step == 1 and previews[0].image.size == (64, 64)
    assert entry.result.size == (64, 64)
    assert {path.name for path in entry.folder.iterdir()} >= {"source.png", "result.png"}
    assert f'editor="{name}"' in entry.python and f"editor={name}" in entry.command


@pytest.mark.parametrize("score", SCORES)
def test_every_score_of_the_page_descends(run, score: str) -> None:
    *_, entry = run(values={"num_inference_steps": 1, "score": score})
    assert entry.settings["score"] == score


def test_the_pages_controls_are_settings_of_their_editors(pipe) -> None:
    for one in OFFERED:
        values = preset_values(one.name, pipe.teacher.presets)
        assert list(values) == list(one.controls) and None not in values.values()


def test_a_mask_is_found_where_that_is_asked(run) -> None:
    *_, entry = run("cycle_sde", mask=AUTO, values={"num_inference_steps": 4})
    assert 'mask="auto"' in entry.python


def test_an_uploaded_mask_is_the_mask_and_another_size_is_said(run, tmp_path: Path) -> None:
    file, few = tmp_path / "upload-mask.png", {"num_inference_steps": 2}
    mask = Image.new("RGB", (64, 64))
    mask.paste((255, 255, 255), (10, 10, 40, 50))
    mask.save(file)
    *_, entry = run(mask=FILE, mask_file=str(file), values=few)
    kept = np.asarray(Image.open(entry.folder / "mask.png"))
    assert (kept == np.asarray(mask.convert("L"))).all()
    assert f"mask={entry.folder / 'mask.png'}" in entry.command
    mask.resize((32, 64)).save(file)
    with pytest.raises(UserError, match=r"mask: it is 32x64 but its picture is 64x64"):
        run(mask=FILE, mask_file=str(file), values=few)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"picture": None}, "picture: there is none"),
        ({"mask": BRUSH}, "mask: nothing is painted"),
        ({"mask": FILE}, "mask: there is none"),
        ({"editor": STUDENT}, "student: none is chosen"),
        ({"editor": STUDENT, "mask": AUTO}, "mask: a student reads no prompts"),
        ({"editor": "inpaint"}, "mask: this editor fills a mask"),
        ({"target": " "}, "target:"),
    ],
)
def test_what_is_missing_is_named_and_leaves_nothing(run, tmp_path: Path, given, sentence) -> None:
    with pytest.raises(UserError, match=sentence):
        run(**given)
    assert list((tmp_path / "history").glob("*")) == []


def test_a_job_that_is_stopped_before_its_turn_leaves_nothing(run, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        run(stop=True)
    assert list((tmp_path / "history").glob("*")) == []


def test_results_are_numbered_on(run, tmp_path: Path) -> None:
    few = {"num_inference_steps": 1}
    assert [run(values=few)[-1].folder.name for _ in range(2)] == ["0001", "0002"]
    assert Image.open(tmp_path / "history/0002/result.png").size == (64, 64)
