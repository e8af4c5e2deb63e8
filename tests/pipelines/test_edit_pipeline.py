"""The Python API: any picture in, the command's bits out."""

import doctest
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image

import i2i_dds
from i2i_dds import DDS, IDS, EditPipeline, Student, UserError, example_picture
from i2i_dds.cli.app import choices_of, config_dir
from i2i_dds.cli.edit import main
from i2i_dds.cli.keys import build
from i2i_dds.data.images import to_tensor
from i2i_dds.pipelines.editors import EDITORS, SCORES, STUDENT, build_editor
from i2i_dds.student.unet import EditUNet
from i2i_dds.teacher.presets import presets_for
from i2i_dds.teacher.random_weights import build_random_stable_diffusion


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    where = tmp_path_factory.mktemp("tiny") / "teacher"
    build_random_stable_diffusion(where, "tiny")
    return where


@pytest.fixture(scope="module")
def pipe(folder: Path) -> EditPipeline:
    return EditPipeline.from_pretrained(str(folder), device="cpu")


def test_the_command_and_python_call_editors_the_same() -> None:
    assert set(choices_of("editor")) == {*EDITORS, STUDENT}
    assert set(choices_of("score")) == set(SCORES)
    with pytest.raises(UserError, match=r"editor: 'student' .*; give Student.from_pretrained"):
        build_editor(STUDENT, presets_for("pocket"))


@pytest.mark.parametrize("name", EDITORS)
def test_an_editor_has_the_same_settings_by_either_way(name: str) -> None:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("edit", [f"editor={name}"])
    assert build(cfg, "editor") == build_editor(name, presets_for("pocket"))[0]


@pytest.mark.parametrize("editor", [name for name in EDITORS if name != "inpaint"])
def test_the_command_and_python_make_the_same_bits(
    editor: str, folder: Path, pipe: EditPipeline, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    example_picture(size=32).save("cat.png")
    typed = ["edit", "teacher=sd15", f"teacher.path={folder}", "teacher.device=cpu", "steps=4"]
    typed += [f"editor={editor}", "image=cat.png", "prompt.source=a cat", "prompt.target=a lion"]
    typed += ["prompt.negative=snow"]
    monkeypatch.setattr("sys.argv", typed)
    main()
    run = Path(capsys.readouterr().out.splitlines()[-1])
    words = {"source": "a cat", "target": "a lion", "negative_prompt": "snow"}
    out = pipe("cat.png", **words, editor=editor, num_inference_steps=4)
    command = np.asarray(Image.open(run / "edited" / "cat.png"))
    assert np.array_equal(np.asarray(out.images[0]), command)
    config = json.loads((run / "result.json").read_text())["config"]
    preset = presets_for("sd15")[EDITORS[editor][0]]["guidance_scale"]
    assert config["guidance_scale"] == out.settings["guidance_scale"] == preset


@pytest.mark.parametrize("teacher", ["pocket", "sd15", "sd21"])
def test_commands_and_python_have_the_same_presets(teacher: str) -> None:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("edit", [f"teacher={teacher}"])
    assert cfg.teacher.presets == presets_for(cfg.teacher.path)


def test_a_score_by_name_takes_what_the_presets_have_for_it() -> None:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        for teacher in ("pocket", "sd15"):
            presets = presets_for(teacher)
            for name in ("pds", "ids", "ssd", "lusd"):
                editor, _ = build_editor("zero_shot", presets, score=name)
                cfg = compose("edit", [f"teacher={teacher}", f"score={name}"])
                assert build(cfg, "score") == editor.score
    changed = {**presets_for("pocket"), "scores": {"ids": {"iterations": 7}}}
    editor, _ = build_editor("zero_shot", changed, score="ids")
    assert editor.score == IDS(iterations=7)


def test_every_kind_of_picture_gives_the_same_result(pipe: EditPipeline) -> None:
    picture = example_picture(size=32)
    given = [picture, np.asarray(picture), to_tensor(picture)]
    for one in given:
        out = pipe(one, target="a lion", num_inference_steps=2)
        again = pipe(picture, target="a lion", num_inference_steps=2)
        assert np.array_equal(np.asarray(out.images[0]), np.asarray(again.images[0]))


def test_a_result_has_the_pictures_own_size(pipe: EditPipeline) -> None:
    out = pipe(Image.new("RGB", (45, 38)), target=["a lion", "a dog"], num_inference_steps=2)
    assert [image.size for image in out.images] == [(45, 38)] * 2
    assert out.latents[0].shape == (4, 10, 11) and len(out.history[0]) == 2
    with pytest.raises(UserError, match="45x38"):
        pipe(Image.new("RGB", (45, 38)), target="a lion", fit="error")


def test_outside_its_mask_a_latent_stays(pipe: EditPipeline) -> None:
    picture, mask = example_picture(size=32), np.zeros((32, 32), np.uint8)
    mask[:, :16] = 255
    out = pipe(picture, target="a lion", mask=mask, num_inference_steps=2)
    source = pipe.teacher.encode(to_tensor(picture)[None])[0]
    assert torch.equal(out.latents[0][..., 4:], source[..., 4:])
    assert not torch.equal(out.latents[0][..., :4], source[..., :4])


def test_a_generator_draws_the_seed(pipe: EditPipeline) -> None:
    def noise(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        out = pipe(
            example_picture(size=32), target="a lion", num_inference_steps=2, generator=generator
        )
        return out.latents[0]

    assert torch.equal(noise(1), noise(1)) and not torch.equal(noise(1), noise(2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"editor": "magic"}, "editor: 'magic' is not allowed; give one of zero_shot"),
        ({"strength": 0.5}, "strength: editor 'zero_shot' has no such setting"),
        ({"source": ["a", "b"]}, "source: 2 are given for 1 pictures"),
        ({"mask": Image.new("L", (8, 8))}, "mask: it is 8x8 but its picture is 32x32"),
        ({"score": "dss"}, "score: 'dss' is not allowed; give one of dds"),
        ({"target": ""}, "target: '' is not allowed"),
        ({"negative_prompt": ["a", "b"]}, "negative_prompt: 2 are given for 1 pictures"),
        ({"negative_prompt": 3}, "negative_prompt: 3 is not allowed; give a text"),
        (
            {"negative_prompt": "snow", "guidance_scale": 1.0},
            "negative_prompt: 'snow' would not be looked at, for this editor guides by no scale",
        ),
    ],
)
def test_what_is_not_allowed_is_refused_by_its_argument(arguments, message, pipe) -> None:
    with pytest.raises(UserError) as refused:
        pipe(example_picture(size=32), **{"target": "a lion", **arguments})
    assert message in str(refused.value)


def test_an_untrained_student_gives_the_autoencoders_picture(pipe: EditPipeline) -> None:
    unet = {"sample_size": 8, "in_channels": 4, "out_channels": 4, "cross_attention_dim": 8}
    unet |= {"block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4}
    unet |= {"down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"]}
    unet |= {"up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"], "attention_head_dim": 4}
    network = EditUNet([{"name": "cat2lion", "replace": {"cat": "lion"}}], unet).eval()
    student = Student(network, pipe.teacher)
    picture = example_picture(size=32)
    out = student([picture, picture.resize((45, 38))], task="cat2lion")
    assert torch.equal(out.latents[0], pipe.teacher.encode(to_tensor(picture)[None])[0])
    assert [image.size for image in out.images] == [(32, 32), (45, 38)]
    with pytest.raises(UserError, match="task: 'dog2fox' is not allowed; this student knows cat2"):
        student(picture, task="dog2fox")


def test_the_examples_of_the_docstrings_run() -> None:
    from i2i_dds.pipelines import edit

    for module in (i2i_dds, edit):
        found = doctest.testmod(module)
        assert found.attempted > 0 and found.failed == 0


def test_every_public_name_is_there() -> None:
    for name in i2i_dds.__all__:
        assert getattr(i2i_dds, name) is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size: 0 is not allowed; give a whole number of at least 1"),
        ({"seed": -1}, "seed: -1 is not allowed"),
        ({"seed": 1.5}, "seed: 1.5 is not allowed"),
        ({"size": "64"}, "size: '64' is not allowed"),
        ({"fit": "foo"}, "fit: 'foo' is not allowed; give one of auto, resize, crop, error"),
        ({"source": None}, "source: None is not allowed; give a text"),
        ({"generator": 3}, "generator: 3 is not allowed; give a torch.Generator"),
        ({"score": DDS}, r"score: DDS is a class; give DDS\(\)"),
        ({"num_inference_steps": 0}, "num_inference_steps: 0 is not allowed"),
        ({"editor": "sdedit", "num_inference_steps": 700}, "num_inference_steps: 700 is not all"),
        ({"images": torch.zeros(3, 8, 8, dtype=torch.uint8)}, "images: a tensor of torch.uint8"),
        ({"images": torch.full((3, 8, 8), 200.0)}, "images: a tensor of torch.float32 is given"),
        ({"images": torch.full((3, 8, 8), float("nan"))}, "images: a tensor of torch.float32"),
        ({"images": np.full((8, 8, 3), np.nan)}, "images: an array of float64 is given"),
        ({"images": np.zeros((0, 0, 3))}, "images: an array of shape .* holds no pixel"),
    ],
    ids=lambda value: str(next(iter(value))) if isinstance(value, dict) else "",
)
def test_what_is_not_allowed_is_named_as_the_argument(pipe, arguments, message: str) -> None:
    told = {"images": torch.zeros(3, 32, 32), "target": "a lion", "num_inference_steps": 1}
    with pytest.raises(UserError, match=f"^{message}"):
        pipe(**{**told, **arguments})


def test_settings_say_what_was_run(pipe) -> None:
    picture = torch.zeros(3, 32, 32)
    out = pipe(picture, target="a lion", num_inference_steps=1)
    assert (out.settings["score"], out.settings["mask"], out.settings["fit"]) == (
        "dds",
        None,
        "auto",
    )
    out = pipe(picture, target="a lion", editor="diffedit", num_inference_steps=2)
    assert out.settings["sampler"] == "cycle_sde" and out.settings["mask"].startswith("auto, thr")


def test_a_mask_that_is_all_black_holds_nothing_back_and_that_is_logged(pipe, caplog) -> None:
    picture, black = torch.zeros(3, 32, 32), torch.zeros(1, 32, 32)
    told = {"target": "a lion", "num_inference_steps": 1}
    free, held = pipe(picture, **told), pipe(picture, mask=black, **told)
    assert torch.equal(free.latents[0], held.latents[0]) and "is black" in caplog.text


def test_each_picture_may_have_targets_of_its_own(pipe: EditPipeline) -> None:
    pictures = [example_picture(size=32), example_picture("dog", 32)]
    out = pipe(pictures, target=[["a lion"], ["a fox", "an owl"]], num_inference_steps=2)
    alone = pipe(pictures[1], target="an owl", num_inference_steps=2)
    assert len(out.images) == 3
    assert not torch.equal(out.latents[1], out.latents[2])
    with pytest.raises(UserError, match="target: 3 are given for 2 pictures"):
        pipe(pictures, target=[["a lion"]] * 3)
    with pytest.raises(UserError, match="target: .* is not allowed"):
        pipe(pictures, target=[["a lion"], []])
    assert alone.images[0].size == (32, 32)
