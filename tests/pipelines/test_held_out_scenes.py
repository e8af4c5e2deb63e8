"""Held-out scenes from Python are those of the commands, down to the noise."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i_dds import EditPipeline, Task, held_out_scenes
from i2i_dds.cli.edit import main

TASK = Task(
    "cat2lion",
    replace={"cat": "lion", "kitten": "lion cub"},
    source={"species": "cat"},
    target={"species": "lion"},
)


@pytest.fixture(scope="module")
def pipe() -> EditPipeline:
    return EditPipeline.from_pretrained("pocket", device="cpu")


def test_the_command_edits_and_measures_the_same_scenes(
    pipe: EditPipeline, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["edit", "source=critters", "n=2", "seed=3", "steps=2"])
    main()
    run = Path(capsys.readouterr().out.splitlines()[-1])
    scenes = held_out_scenes(pipe.teacher, TASK, n=2, seed=3)
    out = pipe(
        scenes.images,
        source=scenes.sources,
        target=[[words] for words in scenes.targets],
        num_inference_steps=2,
        seed=3,
    )
    for key, image in zip(scenes.batch["key"], out.images, strict=True):
        command = np.asarray(Image.open(run / "edited" / f"{key}.png"))
        assert np.array_equal(np.asarray(image), command)
    measured = json.loads((run / "metrics.json").read_text())
    found = scenes.measures(pipe.teacher.encode(scenes.batch["image"]))
    assert found["sharpness_kept"] == 1 and found["success"] == 0
    assert measured["psnr_truth"] is not None and len(scenes.truths) == 2
