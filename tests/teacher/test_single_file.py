"""A single file, as the makers of the models publish it, is the folder that it came from."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import FluxTransformer2DModel, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig

from i2i_dds import load_teacher
from i2i_dds.cli.family import name_family
from i2i_dds.errors import UserError
from i2i_dds.teacher.checkpoint import Checkpoint
from i2i_dds.teacher.flux2_klein import build_random_flux2_klein
from i2i_dds.teacher.random_flux import build_random_flux
from i2i_dds.teacher.random_sd3 import SD3_SHAPES, transformer_from
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from i2i_dds.teacher.shipped_configs import SHIPPED, shipped_configs, shipped_tokenizer
from i2i_dds.teacher.single_file import conversion, layout_of
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher
from i2i_dds.teacher.stable_diffusion3 import StableDiffusion3Teacher
from tests.teacher.single_files import (
    UNET,
    flux2_names,
    flux_names,
    mmdit_names,
    sd3_file,
    sd_file,
    sdxl_file,
    unet_names,
    weights_of,
)

T = torch.tensor([10, 900])
PROMPTS = ["a cat", ""]


def outputs(teacher):
    """Latents of a picture, what the network says of noise, and a picture of latents."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1
    z = torch.randn(2, teacher.latent_channels, 8, 8, generator=generator)
    text = teacher.embed(PROMPTS)
    return [teacher.encode(x), teacher.predict_noise(z, T, text), teacher.decode(z), *text.values()]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(outputs(one), outputs(other), strict=True))


@pytest.fixture
def sd(tiny_folder, tmp_path):
    return sd_file(tiny_folder, tmp_path / "model.safetensors")


def test_stable_diffusion_1_says_what_its_folder_says(tiny_folder, sd):
    single = load_teacher(str(sd), device="cpu", config=str(tiny_folder))
    assert type(single) is StableDiffusionTeacher
    assert same(single, load_teacher(str(tiny_folder), device="cpu"))


def test_stable_diffusion_2_is_known_by_open_clip(tiny_folder, tmp_path):
    file = sd_file(tiny_folder, tmp_path / "model.safetensors", open_clip=True)
    weights = load_file(file)
    layer = {name: t for name, t in weights.items() if ".resblocks.0." in name}
    # Its text encoder is published with a last layer and a projection, which it does not use.
    more = {name.replace(".resblocks.0.", ".resblocks.1."): t + 1 for name, t in layer.items()}
    more["cond_stage_model.model.text_projection"] = torch.ones(16, 16)
    save_file({**weights, **more}, file)
    assert layout_of(file).config == "sd21"
    single = load_teacher(str(file), device="cpu", config=str(tiny_folder))
    assert same(single, load_teacher(str(tiny_folder), device="cpu"))


def test_stable_diffusion_xl_says_what_its_folder_says(tiny_sdxl_folder, tmp_path):
    file = sdxl_file(tiny_sdxl_folder, tmp_path / "model.safetensors")
    assert layout_of(file).choice == layout_of(file).config == "sdxl"
    single = load_teacher(str(file), device="cpu", config=str(tiny_sdxl_folder))
    assert same(single, load_teacher(str(tiny_sdxl_folder), device="cpu"))


@pytest.mark.parametrize("t5", [True, False])
def test_stable_diffusion_3_says_what_its_folder_says(t5, tiny_sd3_t5_folder, tmp_path):
    file = sd3_file(tiny_sd3_t5_folder, tmp_path / "model.safetensors")
    single = load_teacher(str(file), device="cpu", config=str(tiny_sd3_t5_folder), t5=t5)
    # Published files lack the first encoder's projection: it is the identity.
    folder = load_teacher(str(tiny_sd3_t5_folder), device="cpu", t5=t5)
    width = folder.text_encoders[0].config.projection_dim
    folder.text_encoders[0].text_projection.weight.copy_(torch.eye(width))
    assert len(single.text_encoders) == (3 if t5 else 2)
    assert same(single, folder)


def test_parts_that_the_file_lacks_come_from_the_folder(tiny_folder, sd, tmp_path):
    weights = load_file(sd)
    alone = {n.removeprefix(UNET): t for n, t in weights.items() if n.startswith(UNET)}
    save_file(alone, tmp_path / "unet.safetensors")
    single = load_teacher(str(tmp_path / "unet.safetensors"), config=str(tiny_folder))
    assert same(single, load_teacher(str(tiny_folder)))
    with pytest.raises(UserError, match="path: .*unet.safetensors' is not complete .*config"):
        load_teacher(str(tmp_path / "unet.safetensors"))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_every_tensor_is_accounted_for(part, tiny_folder, sd):
    whole = load_file(sd)
    name = {
        "unet": UNET + "middle_block.0.in_layers.2.weight",
        "vae": "first_stage_model.decoder.conv_in.weight",
        "text_encoder": "cond_stage_model.transformer.text_model.final_layer_norm.weight",
    }[part]
    begin = name[: name.index(".", 20)]

    def refuses(message, **changed):
        kept = {n: t for n, t in {**whole, **changed}.items() if t is not None}
        save_file(kept, sd)
        with pytest.raises(UserError, match=rf"^path: {part} of '.*model.safetensors' {message}"):
            load_teacher(str(sd), device="cpu", config=str(tiny_folder))

    refuses("lacks 1 tensors, such as", **{name: None})
    refuses("has in another shape", **{name: whole[name][:2].clone()})
    refuses(".*other", **{f"{begin}.other": torch.zeros(3)})
    save_file({**whole, "other.weight": torch.zeros(1)}, sd)
    with pytest.raises(UserError, match=r"^path: '.*' has, unlike .* 1 tensors, such as other.w"):
        load_teacher(str(sd), device="cpu", config=str(tiny_folder))


def test_another_family_says_which_teacher_fits(tiny_folder, sd, tiny_sdxl_folder):
    with pytest.raises(UserError, match=r"is a StableDiffusionPipeline; give .* teacher=sd15$"):
        StableDiffusion3Teacher.load(str(sd), config=str(tiny_folder))
    with pytest.raises(UserError, match="^config: .* is a StableDiffusionXLPipeline; give"):
        load_teacher(str(sd), config=str(tiny_sdxl_folder))


def test_auto_is_the_family_of_the_file(sd, tiny_sd3_folder, tmp_path):
    assert name_family(["teacher=auto", f"teacher.path={sd}"])[0] == "teacher=sd15"
    file = sd3_file(tiny_sd3_folder, tmp_path / "sd3.safetensors")
    assert name_family(["teacher=auto", f"teacher.path={file}"])[0] == "teacher=sd35"


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".bin"])
def test_a_pickle_is_refused_and_converted_by_the_command_that_is_told(
    suffix, tiny_folder, sd, tmp_path
):
    pickle = tmp_path / f"old{suffix}"
    torch.save({"state_dict": load_file(sd), "epoch": 1}, pickle)
    with pytest.raises(UserError, match="is a pickle, which may run code .* convert it by python"):
        load_teacher(str(pickle), config=str(tiny_folder))
    target = tmp_path / "old.safetensors"
    python, *arguments = shlex.split(conversion(str(pickle), str(target)))
    assert python == "python"  # of the user's environment, as this is the tests'
    subprocess.run([sys.executable, *arguments], check=True)
    single = load_teacher(str(target), device="cpu", config=str(tiny_folder))
    assert same(single, load_teacher(str(tiny_folder), device="cpu"))
    pickle.rename(tmp_path / "renamed.safetensors")
    with pytest.raises(UserError, match="is a pickle"):
        load_teacher(str(tmp_path / "renamed.safetensors"))


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["lora_unet_down_blocks_0.lora_down.weight"], "is a LoRA; give a model, and"),
        (["encoder.conv_in.weight", "decoder.conv_in.weight"], "is an autoencoder; give"),
        (["down_blocks.0.resnets.0.conv1.weight"], "is one network of a diffusers folder"),
        (["a.weight"], r"is no model that is known here \(its tensors are a.weight, "),
        ([UNET + "double_blocks.0.img_attn.qkv.weight"], "is no model that is known here"),
    ],
)
def test_what_is_no_model_is_named(names, found, tmp_path):
    save_file({name: torch.zeros(1, 4) for name in names}, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match=found):
        load_teacher(str(tmp_path / "a.safetensors"))


def test_an_inpainting_unet_is_named(tmp_path):
    weights = {UNET + "input_blocks.0.0.weight": torch.zeros(8, 9, 3, 3)}
    save_file(weights, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="takes 9 channels; give a plain text-to-image model"):
        load_teacher(str(tmp_path / "a.safetensors"))


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"\xff" * 64, b"\x08" + b"\x00" * 7 + b"[]"])
def test_a_file_that_is_cut_off_is_refused(content, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="is no safetensors file"):
        load_teacher(str(tmp_path / "a.safetensors"))


def test_options_that_do_not_go_together_are_refused(tiny_folder, sd):
    with pytest.raises(UserError, match="path: 'no.safetensors' is no file"):
        load_teacher("no.safetensors")
    with pytest.raises(UserError, match="variant: 'fp16' goes with a hub id or a folder"):
        load_teacher(str(sd), variant="fp16")
    with pytest.raises(UserError, match="config: 'sd15' goes with a single file"):
        load_teacher(str(tiny_folder), config="sd15")


@pytest.mark.parametrize("name", shipped_configs())
def test_shipped_configs_are_those_of_the_published_networks(name):
    """By the number of weights, as published."""
    counts = {
        "sd15": 859_520_964,
        "sd21": 865_910_724,
        "sd21_base": 865_910_724,
        "sdxl": 2_567_463_684,
    }
    checkpoint = Checkpoint(str(SHIPPED / name))
    assert checkpoint.scheduler()["num_train_timesteps"] == 1000
    assert CLIPTextConfig.from_pretrained(SHIPPED / name, subfolder="text_encoder").vocab_size
    if name in counts:
        config = UNet2DConditionModel.load_config(SHIPPED / name, subfolder="unet")
        with torch.device("meta"):
            unet = UNet2DConditionModel.from_config(config)
        assert sum(p.numel() for p in unet.parameters()) == counts[name]


@pytest.mark.parametrize("name", ["sd3_medium", "sd35_medium"])
def test_stable_diffusion_3_is_known_by_its_blocks_and_places(name, tmp_path):
    with torch.device("meta"):
        weights = mmdit_names(transformer_from(SD3_SHAPES[name]).state_dict())
    header = {
        UNET + n: {"dtype": "F32", "shape": list(t.shape), "data_offsets": [0, 0]}
        for n, t in weights.items()
    }
    text = json.dumps(header).encode()
    file = tmp_path / "a.safetensors"
    file.write_bytes(len(text).to_bytes(8, "little") + text)
    assert layout_of(file).config == name


def test_a_model_without_a_shipped_config_asks_for_one(tiny_sd3_t5_folder, tmp_path):
    file = sd3_file(tiny_sd3_t5_folder, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="^config: none ships for the model in"):
        load_teacher(str(file))


def test_t5_has_no_tokenizer_that_ships():
    checkpoint = Checkpoint(str(SHIPPED / "sd3_medium"))
    with pytest.raises(UserError, match="^config: no tokenizer of T5 ships.*, or t5=false$"):
        checkpoint.t5("_3")


def test_the_shipped_tokenizer_is_clips():
    """Numbers of words as every Stable Diffusion has them."""
    tokenizer = shipped_tokenizer(SHIPPED / "sd15" / "tokenizer")
    assert len(tokenizer) == 49408
    ids = tokenizer("a photo of an astronaut riding a horse", padding="max_length").input_ids
    assert ids[:10] == [49406, 320, 1125, 539, 550, 18376, 6765, 320, 4558, 49407]
    assert ids[10:] == [49407] * 67
    second = shipped_tokenizer(SHIPPED / "sdxl" / "tokenizer_2")
    assert second("", padding="max_length").input_ids == [49406, 49407, *[0] * 75]


@pytest.mark.slow
def test_stable_diffusion_15_of_true_shape_needs_no_config(tmp_path):
    """Two gigabytes in half precision, with what ships in place of a folder."""
    folder = build_random_stable_diffusion(tmp_path / "sd15", "sd15", dtype="float16")
    file = sd_file(folder, tmp_path / "model.safetensors", layers=2, levels=4)
    single = StableDiffusionTeacher.load(str(file), device="cpu", dtype="bfloat16")
    teacher = StableDiffusionTeacher.load(str(folder), device="cpu", dtype="bfloat16")
    for part in ("unet", "vae", "text_encoder"):
        ours, theirs = (getattr(one, part).state_dict() for one in (single, teacher))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    text = single.embed(["a cat"])
    z = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(*(one.predict_noise(z, T[:1], text) for one in (single, teacher)))
    assert single.native_size == 512


@pytest.mark.slow
def test_flux_of_true_width_says_what_its_folder_says(tmp_path):
    """Two blocks of 58, for diffusers splits the matrices of a file at FLUX's own width."""
    folder = build_random_flux(tmp_path / "flux", "tiny", dtype="bfloat16")
    shape = {"joint_attention_dim": 20, "pooled_projection_dim": 16, "guidance_embeds": True}
    transformer = FluxTransformer2DModel(num_layers=1, num_single_layers=1, **shape)
    transformer.to(torch.bfloat16).save_pretrained(folder / "transformer")
    file = tmp_path / "flux.safetensors"
    save_file(flux_names(weights_of(folder, "transformer")), file)
    single, teacher = (
        load_teacher(str(path), dtype="bfloat16", **options)
        for path, options in ((file, {"config": str(folder)}), (folder, {}))
    )
    ours, theirs = (one.transformer.state_dict() for one in (single, teacher))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    z, text = torch.randn(2, 16, 8, 8), teacher.embed(PROMPTS)
    assert torch.equal(*(one.predict_noise(z, T, text) for one in (single, teacher)))


@pytest.mark.parametrize("prefix", ["", UNET])
def test_flux_2_klein_says_what_its_folder_says(tmp_path, prefix):
    folder = build_random_flux2_klein(tmp_path / "klein")
    names = flux2_names(weights_of(folder, "transformer"))
    file = tmp_path / "klein.safetensors"
    save_file({prefix + name: tensor for name, tensor in names.items()}, file)
    single, teacher = (
        load_teacher(str(path), device="cpu", **options)
        for path, options in ((file, {"config": str(folder)}), (folder, {}))
    )
    assert same(single, teacher)
    save_file({**names, "guidance_in.in_layer.weight": torch.zeros(32, 256)}, file)  # FLUX.2 dev
    with pytest.raises(UserError, match="is no model that is known here"):
        load_teacher(str(file), device="cpu", config=str(folder))


def test_the_names_of_the_test_are_whole(tiny_folder):
    """Every tensor of the folder has one name in the file, and no two share one."""
    weights = weights_of(tiny_folder, "unet")
    assert len(unet_names(weights)) == len(weights)
    assert Path(tiny_folder).is_dir()
