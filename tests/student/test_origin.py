import logging
from pathlib import Path

import pytest
import torch

from i2i_dds.errors import UserError
from i2i_dds.student.load import check_fits, load_student
from i2i_dds.student.origin import describe_teacher
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> StableDiffusionTeacher:
    """Of the same shape, with weights of its own."""
    folder = build_random_stable_diffusion(tmp_path_factory.mktemp("sd") / "other", "tiny", seed=1)
    return StableDiffusionTeacher.load(str(folder), device="cpu")


def test_a_student_keeps_its_teacher_and_refuses_another(make, teacher, other, tmp_path) -> None:
    make().save_pretrained(tmp_path / "s")
    student = load_student(tmp_path / "s")
    check_fits(student, teacher)
    message = (
        "^student: the student was trained with another teacher ('tiny', family sd15), with "
        "another autoencoder; give teacher=<the one"
    )
    with pytest.raises(UserError, match=message.replace("(", r"\(").replace(")", r"\)")):
        check_fits(student, other)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_another_precision_is_the_same_teacher(make, teacher, dtype: str, tmp_path: Path) -> None:
    folder = build_random_stable_diffusion(tmp_path / "tiny", "tiny")
    again = StableDiffusionTeacher.load(str(folder), device="cpu", dtype=dtype)
    check_fits(make(), again)
    check_fits(make("text"), again)


def test_a_student_that_reads_text_refuses_another_text_encoder(make, teacher, other) -> None:
    student, vae = make("text"), other.vae
    other.vae = teacher.vae
    try:
        check_fits(make(), other)  # a learned token needs no text encoder
        with pytest.raises(UserError, match="with another text encoder; give teacher="):
            check_fits(student, other)
    finally:
        other.vae = vae


@pytest.mark.parametrize(("name", "value"), [("scaling_factor", 0.5), ("shift_factor", 0.1)])
def test_another_scale_of_latents_is_refused(make, teacher, monkeypatch, name, value) -> None:
    student = make()
    config = {**teacher.vae.config, name: value}
    monkeypatch.setattr(teacher.vae, "_internal_dict", type(teacher.vae.config)(config))
    with pytest.raises(UserError, match=f"whose {name} is .* and not {value}"):
        check_fits(student, teacher)


def test_a_student_of_before_is_taken_and_that_is_said(make, teacher, caplog) -> None:
    student = make()
    student.teacher = None
    with caplog.at_level(logging.WARNING):
        check_fits(student, teacher)
    assert "does not say which teacher it was trained with" in caplog.text


def test_what_is_kept_names_no_folder_of_this_machine(teacher) -> None:
    kept = describe_teacher(teacher)
    assert kept["name"] == "tiny" and kept["family"] == "sd15" and len(kept["latents"]) == 24
    teacher.source, before = "someone/model", teacher.source
    assert describe_teacher(teacher)["name"] == "someone/model"
    teacher.source = before


def test_latents_that_are_no_numbers_tell_nothing(make, teacher, monkeypatch) -> None:
    student = make()
    monkeypatch.setattr(teacher, "encode", lambda x: torch.full((1, 4, 8, 8), float("nan")))
    check_fits(student, teacher)
