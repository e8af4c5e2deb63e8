"""A student in diffusers' own clothes does what it does in ours."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from i2i_dds import Student, StudentPipeline, UserError, load_teacher
from i2i_dds.student.build import new_student
from i2i_dds.teacher.flux2_klein import build_random_flux2_klein
from tests.conftest import SHAPE


@pytest.fixture
def made(teacher, tasks):
    def made(conditioning: str = "task") -> Student:
        network = new_student(teacher, tasks, SHAPE, conditioning)
        torch.nn.init.normal_(network.net.conv_out.weight, std=0.1)
        return Student(network.eval(), teacher)

    return made


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(noise)


def _as_pixels(image: Any) -> np.ndarray:
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("conditioning", ["task", "text"])
def test_its_folder_edits_as_the_student_does(made, conditioning, tmp_path) -> None:
    student, pictures = made(conditioning), [picture(32, 24, seed) for seed in (1, 2)]
    StudentPipeline.from_student(student).save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert (index["conditions"][0] is None) == (conditioning == "task")
    by_place: Any = {"custom_pipeline": str(tmp_path), "trust_remote_code": True}
    for pipe in (
        StudentPipeline.from_pretrained(tmp_path),
        DiffusionPipeline.from_pretrained(tmp_path, **by_place),
    ):
        assert type(pipe).__name__ == "StudentPipeline"
        for task in ("lion", "dog"):
            edited = pipe(task, pictures).images
            wanted = student(pictures, task).images
            for one, other, source in zip(edited, wanted, pictures, strict=True):
                # Both round floats, which differ in the last bits.
                assert np.abs(_as_pixels(one) - _as_pixels(other)).max() <= 1
                assert np.abs(_as_pixels(one) - _as_pixels(source)).max() > 1


def test_latents_are_scaled_by_channel_and_place_where_the_teachers_are(tmp_path, tasks) -> None:
    folder = build_random_flux2_klein(tmp_path / "teacher")
    teacher = load_teacher(str(folder), device="cpu")
    network = new_student(teacher, tasks, SHAPE, "task")
    torch.nn.init.normal_(network.net.conv_out.weight, std=0.1)
    student, source = Student(network.eval(), teacher), picture(36, 28)
    StudentPipeline.from_student(student).save_pretrained(tmp_path / "student")
    pipe = StudentPipeline.from_pretrained(tmp_path / "student")
    edited, wanted = pipe("lion", source).images[0], student(source, "lion").images[0]
    assert np.abs(_as_pixels(edited) - _as_pixels(wanted)).max() <= 1


def test_a_task_is_named_or_told_for_all_or_for_each(made, tasks) -> None:
    pipe = StudentPipeline.from_student(made())
    pictures = [picture(32, 32, seed) for seed in (1, 2)]
    lion, dog = pipe("lion", pictures).images, pipe("dog", pictures).images
    each = pipe(["lion", tasks[1].instruction], pictures).images
    for one, other in zip(each, (lion[0], dog[1]), strict=True):
        assert np.abs(_as_pixels(one) - _as_pixels(other)).max() <= 1
    assert (_as_pixels(lion[1]) != _as_pixels(dog[1])).any()


def test_one_that_reads_text_is_told_other_words(made, teacher) -> None:
    student, pictures = made("text"), [picture(32, 32, seed) for seed in (1, 2)]
    pipe = StudentPipeline.from_student(student)
    embeds = teacher.embed(["make it a fox", "make it an owl"]).embeddings
    fox, owl = (student(pictures, target=f"make it {one}").images for one in ("a fox", "an owl"))
    for given, wanted in (
        *((embeds[0], fox), (embeds[:1], fox)),
        (embeds, (fox[0], owl[1])),
    ):
        edited = pipe(image=pictures, prompt_embeds=given).images
        for one, other in zip(edited, wanted, strict=True):
            assert np.abs(_as_pixels(one) - _as_pixels(other)).max() <= 1
    assert (_as_pixels(fox[1]) != _as_pixels(owl[1])).any()
    for arguments, sentence in (
        ({"prompt": "lion", "prompt_embeds": embeds}, "prompt_embeds: goes in place of a prompt"),
        ({"prompt_embeds": embeds[:, :1]}, "prompt_embeds: .* is not allowed; give"),
        ({"prompt_embeds": embeds.repeat(2, 1, 1)}, "prompt_embeds: .* is not allowed; give"),
    ):
        with pytest.raises(UserError, match=sentence):
            pipe(image=pictures, **arguments)
    with pytest.raises(UserError, match="prompt_embeds: this student reads no text"):
        StudentPipeline.from_student(made())(image=pictures, prompt_embeds=embeds)


def test_pictures_come_back_in_their_sizes(made) -> None:
    pipe = StudentPipeline.from_student(made())
    assert [one.size for one in pipe("lion", picture(101, 76)).images] == [(101, 76)]
    sides = pipe.vae_scale_factor * (101 // pipe.vae_scale_factor)
    assert pipe("lion", picture(101, 101), output_type="np").images.shape == (1, sides, sides, 3)


def test_strength_leads_from_the_source_to_the_edit(made, teacher) -> None:
    pipe, x = StudentPipeline.from_student(made()), torch.rand(1, 3, 32, 32)
    none, half, whole = (
        pipe("lion", x, strength=s, output_type="latent").images for s in (0.0, 0.5, 1.0)
    )
    assert torch.allclose(none, teacher.encode(2 * x - 1), atol=1e-5)
    assert torch.allclose(half, (none + whole) / 2, atol=1e-5)
    assert (whole - none).abs().max() > 0.01
    (edited,) = pipe("lion", x, output_type="pt", return_dict=False)
    wanted = teacher.decode(whole).clamp(-1, 1)
    assert torch.allclose(edited, wanted / 2 + 0.5, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((None, "picture"), "prompt: none is given; this student knows lion, dog"),
        (("bear", "picture"), "prompt: 'bear' is no task of this student; it knows lion, dog"),
        ((["lion", "dog"], "picture"), "prompt: 2 for 1 pictures"),
        (("lion", None), "image: none is given"),
    ],
)
def test_mistakes_are_named(made, arguments, sentence) -> None:
    prompt, image = arguments
    with pytest.raises(UserError, match=sentence):
        StudentPipeline.from_student(made())(prompt, image and picture(32, 32))


def test_a_strength_beyond_what_was_learned_is_refused(made) -> None:
    with pytest.raises(UserError, match="strength: 1.5"):
        StudentPipeline.from_student(made())("lion", picture(32, 32), strength=1.5)
