import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i_dds import example_picture
from i2i_dds.app.requests import EditRequest, TeacherName
from i2i_dds.cli.edit import main

ASKED = [
    EditRequest(
        Path("a cat's.png"),
        "",
        "a [lion], $HOME 'x'",
        settings={"score": "cds", "num_inference_steps": 2, "lr": 0.1},
        seed=3,
    ),
    EditRequest(
        Path("a cat's.png"),
        "a cat",
        "a lion",
        "diffedit",
        {"num_inference_steps": 4, "strength": 0.5},
        mask=Path("mask.png"),
        size=(64, 32),
    ),
]


def words_of(line: str) -> list[str]:
    """What a shell hands to ``i2i``."""
    script = "i2i() { printf '%s\\0' \"$@\"; }\n" + line
    done = subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True)
    return done.stdout.split("\0")[:-1]


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.editor)
def test_command_and_python_give_the_same_picture(
    asked: EditRequest, pipe, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    example_picture().save(asked.image)
    mask = Image.new("L", (64, 64))
    mask.paste(255, (10, 10, 60, 60))
    mask.save("mask.png")
    direct = np.asarray(asked.run(pipe).images[0])
    exec(compile(asked.python(TeacherName()), "lines", "exec"), {})
    assert (np.asarray(Image.open("result.png")) == direct).all()
    line = asked.command(TeacherName(keys=("teacher.device=cpu",)))
    command, *words = words_of(line)
    assert command == "edit"
    monkeypatch.setattr(sys, "argv", ["i2i-edit", *words, "threads=null", "out=run"])
    main()
    made = [np.asarray(Image.open(path).convert("RGB")) for path in Path("run").rglob("*.png")]
    assert any(one.shape == direct.shape and (one == direct).all() for one in made)


def test_a_line_of_the_shell_holds_no_more_than_was_typed() -> None:
    asked = EditRequest(Path("a.png"), "a; rm -rf /", "$(id) `id`\n'\"")
    assert words_of(asked.command(TeacherName()))[2:4] == [
        "prompt.source=a; rm -rf /",
        "prompt.target=$(id) `id`\n'\"",
    ]


def test_texts_in_the_python_lines_stay_texts() -> None:
    asked = EditRequest(Path("a.png"), '"+exit()+"', "\\\n\u2028é")
    calls = {}
    lines = asked.python(TeacherName())

    class Pipeline:
        @classmethod
        def from_pretrained(cls, path: str) -> "Pipeline":
            return cls()

        def __call__(self, image: str, **named: object) -> "Pipeline":
            calls.update(named)
            return self

        images = (type("Image", (), {"save": lambda self, path: None})(),)

    exec(lines.partition("\n")[2], {"EditPipeline": Pipeline})
    assert (calls["source"], calls["target"]) == (asked.source, asked.target)


def test_a_line_for_people_is_a_line() -> None:
    long = EditRequest(Path("a.png"), "a cat", "a lion " * 60)
    assert long.title.startswith("a lion a lion") and long.title.endswith("… · zero_shot")
    assert len(long.title) < 100
    assert EditRequest(Path("a.png"), "a cat", "a lion").title == "a lion · zero_shot"
