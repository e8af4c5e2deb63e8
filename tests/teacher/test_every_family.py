"""What holds for every family of ``conf/teacher``, on tiny folders of random weights."""

import math
import shutil
from importlib import import_module

import pytest
import torch

from i2i_dds import load_teacher
from i2i_dds.cli.make_random_sd import FAMILIES
from i2i_dds.editing.batches import EditItem, edit_items
from i2i_dds.editing.lora import LoraSettings, train_lora
from i2i_dds.errors import UserError
from i2i_dds.pipelines.editors import EDITORS, build_editor
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.interface import ScoreInput
from i2i_dds.teacher.families import families
from i2i_dds.teacher.guided import predict_guided

MADE_AS = {"sd15": "sd", "sd35": "sd3"}
"""Family -> what ``make_random_sd family=`` calls it, where that is another name."""

T = torch.tensor([10, 900])


@pytest.fixture(scope="session", params=families())
def made(request, tmp_path_factory):
    """Its name, and a tiny folder of it."""
    where, _, _ = FAMILIES[MADE_AS.get(request.param, request.param)]
    module, _, name = where.partition(":")
    build = getattr(import_module(f"i2i_dds.teacher.{module}"), name)
    return request.param, str(build(tmp_path_factory.mktemp(request.param) / "tiny", "tiny"))


def test_its_folder_is_known(made):
    family, folder = made
    teacher = load_teacher(folder, device="cpu")
    kind = families()[family].target.split(".")[-2]
    assert type(teacher).__name__ == kind
    assert set(teacher.presets) >= {"zero_shot", "inversion", "flowedit", "train", "lora"}


def test_the_delta_of_a_matched_pair_is_zero_to_the_bit(made):
    teacher = load_teacher(made[1], device="cpu")
    z = torch.randn(2, teacher.latent_channels, 8, 8)
    text, other = teacher.embed(["a cat", "a dog"]), teacher.embed(["a lion", "a dog"])
    inputs = {"z_tgt": z, "z_src": z, "text_src": text, "t": T, "eps": torch.randn_like(z)}
    for guidance_scale in (1.0, 5.0):
        matched, changed = (
            DDS()(teacher, ScoreInput(**inputs, text_tgt=target, guidance_scale=guidance_scale))
            for target in (text, other)
        )
        assert not matched.any()
        assert changed[0].any()
        assert not changed[1].any()


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_latents_keep_their_type_in_a_teacher_of_another(made, dtype):
    teacher = load_teacher(made[1], device="cpu", dtype=dtype)
    z = teacher.encode(torch.rand(2, 3, 32, 32) * 2 - 1)
    (eps,) = predict_guided(teacher, [z], [teacher.embed(["a cat", ""])], T, 3.0)
    assert z.dtype == eps.dtype == teacher.decode(z).dtype == torch.float32
    told = teacher.embed(["a cat"]).embeddings.dtype
    assert {str(one) for one in (teacher.vae.dtype, told)} == {f"torch.{dtype}"}
    assert eps.isfinite().all()


@pytest.mark.slow
def test_onnx_runtime_says_what_the_network_says(made, tmp_path):
    teacher = load_teacher(made[1], device="cpu")
    z = torch.randn(3, teacher.latent_channels, 8, 8)
    t, text = torch.tensor([10, 500, 900]), teacher.embed(["a cat", "a lion", "x y z"])
    wanted = teacher.predict_noise(z, t, text)
    teacher.use_onnx(tmp_path)
    one = teacher.predict_noise(z[:1], t[:1], text.take(torch.tensor([0])))
    torch.testing.assert_close(one, wanted[:1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(teacher.predict_noise(z, t, text), wanted, rtol=1e-4, atol=1e-5)
    assert len(list(tmp_path.rglob("network.onnx"))) == 1


@pytest.mark.parametrize("name", EDITORS)
def test_every_editor_runs(made, name):
    teacher = load_teacher(made[1], device="cpu")
    editor, _ = build_editor(name, teacher.presets, num_inference_steps=2)
    x = torch.rand(3, 32, 32) * 2 - 1
    item = EditItem("a", "a", x, "a cat", "a dog", mask=torch.ones(1, 32, 32))
    (edited,) = edit_items(editor, teacher, [item], seed=0, batch_size=1)
    assert edited.x.shape == (1, 3, 32, 32)
    assert edited.x.isfinite().all()


def test_features_lie_where_the_picture_has_changed(made):
    teacher = load_teacher(made[1], device="cpu")
    text = teacher.embed(["a cat"])
    z = torch.randn(1, teacher.latent_channels, 8, 12)
    row, column = 5, 9
    changed = z.clone()
    changed[..., row, column] += 1
    before, after = (
        teacher.features(one, T[:1], text, teacher.feature_block) for one in (z, changed)
    )
    height, width = before.shape[-2:]
    assert height * 12 == width * 8
    most = (after - before)[0].norm(dim=0).argmax().item()
    expected = row * height // 8, column * width // 12
    assert math.dist(divmod(most, width), expected) <= 2  # a UNet's convolutions spread it


def test_a_lora_learns_on_it(made):
    teacher = load_teacher(made[1], device="cpu")
    z = teacher.encode(torch.rand(1, 3, 32, 32) * 2 - 1)
    trained = train_lora(teacher, z, teacher.embed(["a cat"]), LoraSettings(steps=2, lr=1e-2))
    assert any(weight.any() for name, weight in trained.weights.items() if "lora_B" in name)


@pytest.mark.parametrize("part", ["text_encoder", "tokenizer", "vae", "scheduler"])
def test_a_folder_without_a_part_is_not_complete(made, part, tmp_path):
    copy = shutil.copytree(made[1], tmp_path / "copy")
    shutil.rmtree(copy / part)
    with pytest.raises(UserError, match="^path: .* is not complete"):
        load_teacher(str(copy), device="cpu")
