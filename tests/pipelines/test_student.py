"""A student from Python: made, saved, loaded and measured as the commands do."""

import json
from pathlib import Path

import pytest
import torch

from i2i_dds import Student, Task, UserError, load_teacher
from i2i_dds.cli.evaluate import main

TASK = Task("cat2lion", {"cat": "lion"}, source={"species": "cat"}, target={"species": "lion"})
TIMES = ("seconds", "seconds_per_image", "seconds_per_image_zero_shot", "zero_shot_speedup")


def test_the_evaluate_command_and_python_find_the_same_numbers(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    student = Student.new(load_teacher("pocket", device="cpu"), TASK, seed=1)
    torch.nn.init.normal_(student.network.net.conv_out.weight, std=0.02)
    student.save_pretrained("student")
    monkeypatch.setattr("sys.argv", ["evaluate", "ckpt=student", "n=3", "batch_size=2"])
    main()
    run = Path(capsys.readouterr().out.splitlines()[-1])
    command = json.loads((run / "metrics.json").read_text())
    loaded = Student.from_pretrained("student", device="cpu")
    found = json.loads(json.dumps(loaded.evaluate(n=3, batch_size=2).numbers))
    for name in TIMES:
        command.pop(name, None), found.pop(name, None)
    assert found == command and found["psnr_truth"] > 0


def test_a_shape_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match="shape: 'huge' is not allowed; give one of base, small"):
        Student.new(load_teacher("pocket", device="cpu"), TASK, shape="huge")
