import json
from pathlib import Path

import pytest
import torch

from i2i_dds.errors import UserError
from i2i_dds.student.build import new_student
from i2i_dds.student.load import (
    check_fits,
    check_knows,
    check_same_student,
    load_student,
    read_checkpoint,
    student_config,
)
from i2i_dds.tasks import Task, TaskSet
from i2i_dds.teacher.analytic import GaussianMixtureTeacher


def as_checkpoint(student, path: Path) -> Path:
    """What Lightning writes, as far as it is looked at."""
    weights = {f"student.{name}": value for name, value in student.state_dict().items()}
    content = {"hyper_parameters": {"student": student_config(student)}, "state_dict": weights}
    torch.save(content, path)
    return path


@pytest.mark.parametrize("conditioning", ["task", "text"])
def test_saved_and_loaded_it_is_the_same(make, teacher, tmp_path: Path, conditioning) -> None:
    student = make(conditioning).eval()
    torch.nn.init.normal_(student.net.conv_out.weight, std=0.1)
    run = tmp_path / "run"
    student.save_pretrained(run / "student")
    checkpoint = as_checkpoint(student, tmp_path / "last.ckpt")
    z = torch.randn(2, 4, 8, 8)
    wanted = student(z, student.condition(teacher, [1, 0]))
    for path in (run / "student", run, checkpoint):
        again = load_student(path)
        assert not again.training and again.tasks.tasks == student.tasks.tasks
        assert torch.equal(again(z, again.condition(teacher, [1, 0])), wanted)


def test_a_run_that_is_not_finished_gives_its_last_checkpoint(make, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    as_checkpoint(make(seed=3), tmp_path / "checkpoints" / "last.ckpt")
    assert torch.equal(load_student(tmp_path).tokens.weight, make(seed=3).tokens.weight)


def test_what_is_no_student_is_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="path: '.*nowhere' does not exist; give a run folder"):
        load_student(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="path: .* is no folder of a student"):
        load_student(tmp_path / "empty")
    (tmp_path / "torn.ckpt").write_bytes(b"PK" * 99)
    with pytest.raises(UserError, match=r"path: '.*torn\.ckpt' is no checkpoint of train\.py"):
        load_student(tmp_path / "torn.ckpt")
    (saved / "diffusion_pytorch_model.safetensors").write_bytes(b"torn")
    with pytest.raises(UserError, match="path: the student in .* is not complete or damaged"):
        load_student(saved)
    (saved / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel"}))
    with pytest.raises(UserError, match="is no folder of a student"):
        load_student(saved)


class Payload:
    def __reduce__(self):
        return (print, ("unpickled",))


def test_a_checkpoint_runs_no_code(tmp_path: Path, capsys) -> None:
    torch.save({"hyper_parameters": {"student": {}}, "evil": Payload()}, tmp_path / "evil.ckpt")
    with pytest.raises(UserError, match=r"path: .* is no checkpoint of train\.py"):
        read_checkpoint(tmp_path / "evil.ckpt")
    assert "unpickled" not in capsys.readouterr().out


def test_another_students_checkpoint_is_refused(make, teacher, tasks) -> None:
    student = make()
    check_same_student(student, student_config(make(seed=5)), "ckpt_path", "x")
    other = TaskSet([Task("fox", {"cat": "fox"})])
    config = student_config(new_student(teacher, other, dict(student.config["unet"])))
    with pytest.raises(UserError, match=r"ckpt_path: 'x' is a student of \['fox'\], not of \['lio"):
        check_same_student(student, config, "ckpt_path", "x")
    with pytest.raises(UserError, match="is another student, whose conditioning differs"):
        check_same_student(student, student_config(make("text")), "ckpt_path", "x")


def test_another_teacher_or_task_is_refused(make) -> None:
    narrow = GaussianMixtureTeacher(torch.zeros(1, 2, 8, 8), torch.ones(1))
    with pytest.raises(UserError, match="latents of 4 channels, the teacher has 2"):
        check_fits(make(), narrow)
    wide = GaussianMixtureTeacher(torch.zeros(3, 4, 8, 8), torch.ones(3))
    with pytest.raises(UserError, match="reads texts of width 16, the teacher's have 3"):
        check_fits(make("text"), wide)
    unknown = TaskSet([Task("fox", {"cat": "fox"})])
    with pytest.raises(UserError, match="tasks: this student does not know 'fox'; it knows"):
        check_knows(make(), unknown)
    check_knows(make("text"), unknown)


def test_a_flipped_bit_in_a_checkpoint_is_found(make, tmp_path) -> None:
    student = make()
    content = {"hyper_parameters": {"student": student_config(student)}, "state_dict": {}}
    content["state_dict"] = {f"student.{k}": v for k, v in student.state_dict().items()}
    path = tmp_path / "last.ckpt"
    torch.save(content, path)
    assert read_checkpoint(path)["student"] == student_config(student)
    name, weight = max(student.state_dict().items(), key=lambda pair: pair[1].numel())
    data = bytearray(path.read_bytes())
    place = data.index(weight.contiguous().numpy().tobytes())
    data[place + 5] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match="is no checkpoint of train.py, or damaged"):
        read_checkpoint(path)
