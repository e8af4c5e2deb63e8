import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from i2i_dds import EditPipeline, Student, Task, UserError, example_picture
from i2i_dds.app.requests import TeacherName
from i2i_dds.app.run_folder import find_students
from i2i_dds.app.student_request import StudentRequest
from i2i_dds.cli.edit import main
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from tests.app.test_requests import words_of
from tests.app.test_run_folder import write_run


@pytest.fixture(scope="module")
def root(pipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training with a student of the pocket teacher that changes its pictures."""
    root = tmp_path_factory.mktemp("trained")
    task = Task("cat2lion", {"cat": "lion"})
    student = Student.new(pipe.teacher, task)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in student.network.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    student.save_pretrained(write_run(root / "run") / "student")
    return root


def request(root: Path) -> StudentRequest:
    return StudentRequest(
        Path("a cat's.png"), root / "run/student", "cat2lion", mask=Path("mask.png"), size=(64, 48)
    )


def test_command_and_python_give_the_students_picture(
    root: Path, pipe, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = request(root)
    example_picture().save(asked.image)
    mask = Image.new("L", (64, 64))
    mask.paste(255, (10, 10, 60, 60))
    mask.save("mask.png")
    direct = np.asarray(asked.run(pipe).images[0])
    assert (direct != np.asarray(example_picture())).any()
    exec(compile(asked.python(TeacherName()), "lines", "exec"), {})
    assert (np.asarray(Image.open("result.png")) == direct).all()
    command, *words = words_of(asked.command(TeacherName(keys=("teacher.device=cpu",))))
    assert command == "edit"
    monkeypatch.setattr(sys, "argv", ["i2i-edit", *words, "threads=null", "out=run"])
    main()
    made = [np.asarray(Image.open(path).convert("RGB")) for path in Path("run/edited").glob("*")]
    assert len(made) == 1 and (made[0] == direct).all()


def test_a_student_of_another_teacher_is_refused_in_one_sentence(
    root: Path, tmp_path: Path
) -> None:
    other = build_random_stable_diffusion(tmp_path / "tiny", "tiny")
    example_picture().save(tmp_path / "a.png")
    asked = StudentRequest(tmp_path / "a.png", root / "run/student", "cat2lion")
    with pytest.raises(UserError, match="^teacher: the student ") as refused:
        asked.run(EditPipeline.from_pretrained(str(other), device="cpu"))
    assert "\n" not in str(refused.value)


def test_students_are_found_in_the_pages_folders_only(root: Path, tmp_path: Path) -> None:
    assert find_students([root]) == {"run": root / "run/student"}
    write_run(tmp_path / "train/linked")
    (tmp_path / "train/linked/student").symlink_to(root / "run/student")
    write_run(tmp_path / "train/file").joinpath("student").mkdir()
    (tmp_path / "train/file/student/config.json").write_text("{}")
    (tmp_path / "train/file/student/x.safetensors").symlink_to("/etc/passwd")
    assert find_students([tmp_path / "train"]) == {}
