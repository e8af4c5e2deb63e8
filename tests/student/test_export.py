import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from i2i_dds import load_teacher
from i2i_dds.errors import UserError
from i2i_dds.student.build import new_student
from i2i_dds.student.export import CONDITIONS, SETTINGS, export_student
from i2i_dds.student.unet import EditUNet
from i2i_dds.teacher.flux2_klein import build_random_flux2_klein
from tests.conftest import SHAPE


@pytest.fixture
def student(make):
    """One that does not give back its input."""

    def student(conditioning: str = "task") -> EditUNet:
        made = make(conditioning)
        torch.nn.init.normal_(made.net.conv_out.weight, std=0.1)
        return made.eval()

    return student


@pytest.mark.parametrize("conditioning", ["task", "text"])
def test_programs_do_what_the_networks_do(
    teacher, tasks, student, conditioning, tmp_path: Path
) -> None:
    student = student(conditioning)
    found = export_student(student, teacher, tmp_path, ["pt2"])
    assert list(found) == ["encoder.pt2", "student.pt2", "decoder.pt2"]
    assert max(max(one.values()) for one in found.values()) <= 1e-5
    x = torch.rand(3, 3, 24, 40) * 2 - 1  # of another size, and more of them
    encoder, edit, decoder = (
        torch.export.load(tmp_path / f"{name}.pt2").module()
        for name in ("encoder", "student", "decoder")
    )
    condition = student.condition(teacher, [1, 0, 1])
    with torch.no_grad():
        z = encoder(picture=x)
        y = decoder(latents=edit(latents=z, task=condition))
        wanted = teacher.decode(student(teacher.encode(x), condition))
    assert torch.allclose(z, teacher.encode(x), atol=1e-5)
    assert torch.allclose(y, wanted, atol=1e-5) and not torch.allclose(
        z, edit(latents=z, task=condition)
    )
    settings = json.loads((tmp_path / SETTINGS).read_text())
    assert settings["tasks"] == list(tasks.names)
    if conditioning == "text":
        texts = load_file(tmp_path / CONDITIONS)
        assert torch.equal(texts[tasks.names[1]], student.condition(teacher, [1]))


def test_latents_are_scaled_by_channel_and_place_where_the_teachers_are(tasks, tmp_path) -> None:
    folder = build_random_flux2_klein(tmp_path / "teacher")
    teacher = load_teacher(str(folder), device="cpu")
    student = new_student(teacher, tasks, SHAPE, "task")
    formats = ["pt2", *(["onnx"] if find_spec("onnxscript") else [])]
    found = export_student(student.eval(), teacher, tmp_path / "made", formats)
    assert max(max(one.values()) for one in found.values()) <= 1e-4
    x = torch.rand(3, 3, 36, 28) * 2 - 1  # 9 x 7 cells
    encoder, decoder = (
        torch.export.load(tmp_path / "made" / f"{name}.pt2").module()
        for name in ("encoder", "decoder")
    )
    z = encoder(picture=x)
    assert torch.allclose(z, teacher.encode(x), atol=1e-5)
    assert torch.allclose(decoder(latents=z), teacher.decode(z), atol=1e-5)


def test_onnx_runs_where_this_package_is_not(teacher, student, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    student = student()
    found = export_student(student, teacher, tmp_path, ["onnx"])
    assert max(max(one.values()) for one in found.values()) <= 1e-4
    x = torch.rand(1, 3, 48, 32) * 2 - 1
    torch.save(x, tmp_path / "x.pt")
    code = """
import sys
import numpy, onnxruntime, torch
def run(name, **inputs):
    return onnxruntime.InferenceSession(f"{name}.onnx").run(None, inputs)[0]
z = run("encoder", picture=torch.load("x.pt").numpy())
y = run("decoder", latents=run("student", latents=z, task=numpy.array([1])))
torch.save(torch.from_numpy(y), "y.pt")
assert not {"i2i_dds", "diffusers", "transformers"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120)
    with torch.no_grad():
        wanted = teacher.decode(student(teacher.encode(x), torch.tensor([1])))
    assert torch.allclose(torch.load(tmp_path / "y.pt"), wanted, atol=1e-4)


def test_without_the_extra_it_is_named(teacher, student, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("i2i_dds.onnx_files.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^formats: onnx needs onnx, .*'i2i-dds\[export\]'"):
        export_student(student(), teacher, tmp_path)
    assert not list(tmp_path.iterdir())
