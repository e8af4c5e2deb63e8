import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

import i2i_dds
from i2i_dds.errors import UserError
from i2i_dds.teacher.random_weights import SHAPES, byte_tokenizer
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher
from i2i_dds.teacher.stable_diffusion3 import StableDiffusion3Teacher


def load(path, **options):
    return StableDiffusionTeacher.load(str(path), device="cpu", **options)


@pytest.fixture
def copy(tiny_folder, tmp_path):
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


def edit_json(file, **values):
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize("path", ["no_such_teacher", "./none", "/none/at/all", "~/none"])
def test_a_missing_folder_is_named_with_what_is_allowed(path):
    with pytest.raises(UserError, match=rf"path: '{path}' holds no model_index\.json; give"):
        load(path)


def test_an_existing_folder_is_never_taken_for_a_hub_id(tmp_path, monkeypatch):
    (tmp_path / "some" / "folder").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="holds no model_index"):
        load("some/folder")


def test_another_kind_of_pipeline_is_refused(copy):
    edit_json(copy / "model_index.json", _class_name="StableDiffusionXLPipeline")
    with pytest.raises(UserError, match="is a StableDiffusionXLPipeline"):
        load(copy)


def test_a_damaged_index_is_refused(copy):
    (copy / "model_index.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read as JSON"):
        load(copy)


def test_an_inpainting_network_is_refused(copy):
    unet = UNet2DConditionModel(in_channels=9, out_channels=4, **SHAPES["tiny"].unet)
    unet.save_pretrained(copy / "unet")
    with pytest.raises(UserError, match="takes 9 channels and its latents have 4"):
        load(copy)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_folder_without_a_part_is_not_complete(copy, part):
    shutil.rmtree(copy / part)
    with pytest.raises(UserError, match="is not complete"):
        load(copy)


def test_a_tokenizer_of_another_model_is_refused(copy):
    vocab = {**byte_tokenizer().get_vocab(), "surplus": 514}
    CLIPTokenizer(vocab=vocab, merges=[], model_max_length=77).save_pretrained(copy / "tokenizer")
    with pytest.raises(UserError, match="515 tokens and its text encoder 514"):
        load(copy)


@pytest.mark.parametrize("part", ["unet/diffusion_pytorch_model", "text_encoder/model"])
def test_truncated_weights_are_not_complete(copy, part):
    file = copy / f"{part}.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(UserError, match="is not complete"):
        load(copy)


def test_pickled_weights_are_never_read(copy):
    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save({}, file.with_suffix(".bin"))
    file.unlink()
    with pytest.raises(UserError, match="safetensors"):
        load(copy)


@pytest.mark.parametrize(
    ("options", "key"),
    [({"dtype": "float8"}, r"^dtype: 'float8'"), ({"device": "gpu"}, r"^device: ")],
)
def test_unknown_placement_is_refused(tiny_folder, options, key):
    with pytest.raises(UserError, match=key):
        StableDiffusionTeacher.load(str(tiny_folder), **{"device": "cpu", **options})


def test_the_word_pocket_is_the_packaged_teacher(tiny_folder, tmp_path, monkeypatch):
    shutil.copytree(tiny_folder, tmp_path / "pocket" / "teacher")
    monkeypatch.setenv("I2I_DDS_POCKET", str(tmp_path / "pocket"))
    assert load("pocket").vae_scale_factor == 4
    monkeypatch.setenv("I2I_DDS_POCKET", str(tmp_path / "elsewhere"))
    with pytest.raises(
        UserError, match=r"elsewhere' holds no pocket weights; run scripts/pretrain"
    ):
        load("pocket")


def test_tokenizer_files_of_2022_load(copy):
    """Stable Diffusion 1.5 ships vocab.json and merges.txt, and weights named text_model.*"""
    reference = load(copy).embed(["a cat"]).embeddings
    (copy / "tokenizer" / "tokenizer.json").unlink()
    vocab = json.dumps(byte_tokenizer().get_vocab())
    (copy / "tokenizer" / "vocab.json").write_text(vocab)
    (copy / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    assert torch.equal(load(copy).embed(["a cat"]).embeddings, reference)


def test_a_hub_id_that_is_not_here_says_what_to_download_and_where_to_put_it():
    program = (
        "from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher as T\n"
        "try:\n    T.load('nobody/no-such-model', device='cpu')\n"
        "except ValueError as error:\n    print(type(error).__name__, error)"
    )
    source = str(Path(i2i_dds.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("UserError path: 'nobody/no-such-model' is not on this")
    assert "hf download nobody/no-such-model --local-dir DIR" in done.stdout
    assert "copy DIR here and give that, or pocket" in done.stdout
    assert len(done.stdout.strip().splitlines()) == 1


def test_local_files_only_never_asks_the_network(monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("asked the network")

    monkeypatch.setattr("i2i_dds.teacher.folders.model_info", refuse)
    with pytest.raises(UserError, match="local_files_only is set"):
        load("nobody/no-such-model", local_files_only=True)


def change_weights(file: Path, change) -> None:
    weights = load_file(file)
    change(weights)
    save_file(weights, file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("text_encoder/model", "encoder.layers.0.mlp.fc1.weight"),
        ("unet/diffusion_pytorch_model", "mid_block.resnets.0.conv1.weight"),
        ("vae/diffusion_pytorch_model", "decoder.conv_in.weight"),
    ],
)
def test_every_weight_is_accounted_for(copy, part: str, name: str) -> None:
    file, folder = copy / f"{part}.safetensors", part.split("/")[0]
    name = next(key for key in load_file(file) if key.endswith(name))
    whole = file.read_bytes()
    short = name.removeprefix("text_model.")
    change_weights(file, lambda weights: weights.pop(name))
    with pytest.raises(UserError, match=rf"^path: {folder} of .* lacks 1 .*{short}"):
        load(copy)
    file.write_bytes(whole)
    change_weights(file, lambda weights: weights.update(other=torch.zeros(1)))
    with pytest.raises(UserError, match=rf"^path: {folder} of .* has, unlike .* other"):
        load(copy)
    file.write_bytes(whole)
    change_weights(file, lambda weights: weights.update({name: weights[name][:1].clone()}))
    with pytest.raises(UserError, match=rf"^path: {folder} of .*shape"):
        load(copy)
    file.write_bytes(whole)
    assert load(copy).latent_channels == 4


def test_the_position_ids_of_older_files_are_no_stranger(copy) -> None:
    file = copy / "text_encoder" / "model.safetensors"
    ids = {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    change_weights(file, lambda weights: weights.update(ids))
    assert load(copy).latent_channels == 4


@pytest.mark.parametrize("kind", ["Img2ImgPipeline", "InpaintPipeline", "ControlNetPipeline"])
def test_pipelines_of_the_same_networks_are_read(copy, kind: str) -> None:
    edit_json(copy / "model_index.json", _class_name=f"StableDiffusion{kind}")
    assert load(copy).latent_channels == 4


def test_a_scheduler_of_another_process_is_refused(copy) -> None:
    file = copy / "scheduler" / "scheduler_config.json"
    edit_json(file, _class_name="FlowMatchEulerDiscreteScheduler")
    with pytest.raises(UserError, match="^scheduler._class_name: 'FlowMatchEulerDiscreteSched"):
        load(copy)


def test_a_number_of_hundreds_of_digits_is_refused(copy) -> None:
    edit_json(copy / "scheduler" / "scheduler_config.json", beta_start=10**400)
    with pytest.raises(UserError, match="^scheduler.beta_start: 1000"):
        load(copy)


def test_a_config_that_names_kernels_of_the_hub_downloads_none(copy) -> None:
    edit_json(copy / "text_encoder" / "config.json", _attn_implementation="evil/kernels")
    assert load(copy).text_encoder.config._attn_implementation == "sdpa"


def test_a_folder_with_weights_of_a_variant_alone_is_loaded(copy, tiny_folder) -> None:
    plain = load(tiny_folder)
    for file in copy.rglob("*.safetensors"):
        file.rename(file.with_suffix(".fp16.safetensors"))
    weights = load(copy).unet.state_dict()
    assert all(
        torch.equal(weight, weights[name]) for name, weight in plain.unet.state_dict().items()
    )


def test_a_checkpoint_of_another_family_says_which_teacher_fits(tiny_folder, tiny_sd3_folder):
    with pytest.raises(UserError, match=r"is a StableDiffusion3Pipeline; give .*teacher=sd35$"):
        load(tiny_sd3_folder)
    with pytest.raises(UserError, match=r"is a StableDiffusionPipeline; give .*teacher=sd15$"):
        StableDiffusion3Teacher.load(str(tiny_folder), device="cpu")


def test_a_variant_of_the_weights_is_loaded_where_it_is_asked_for(copy):
    for part, name in (
        ("unet", "diffusion_pytorch_model"),
        ("vae", "diffusion_pytorch_model"),
        ("text_encoder", "model"),
    ):
        weights = load_file(copy / part / f"{name}.safetensors")
        save_file(
            {key: value + 1 for key, value in weights.items()},
            copy / part / f"{name}.fp16.safetensors",
            {"format": "pt"},
        )
    plain, other = load(copy), load(copy, variant="fp16")
    for part in ("unet", "vae", "text_encoder"):
        one, two = (next(iter(getattr(each, part).parameters())) for each in (plain, other))
        torch.testing.assert_close(two, one + 1)


def test_a_variant_that_is_not_there_is_refused(copy):
    with pytest.raises(UserError, match="is not complete .*, of variant 'fp8'"):
        load(copy, variant="fp8")


def test_a_revision_goes_with_a_hub_id(copy, monkeypatch):
    with pytest.raises(UserError, match="revision: 'main' goes with a hub id, and"):
        load(copy, revision="main")
    with pytest.raises(UserError, match="revision: 7 is not allowed; give a text"):
        load(copy, revision=7)
    asked = []
    monkeypatch.setattr(
        "i2i_dds.teacher.folders.model_info",
        lambda source, revision, timeout: asked.append(revision) or (_ for _ in ()).throw(OSError),
    )
    with pytest.raises(UserError, match="is not on this machine"):
        load("some/model", revision="abc")
    assert asked == ["abc"]


def test_of_a_hub_id_the_family_is_asked_before_weights_are(copy, monkeypatch) -> None:
    """The hub has a pipeline of another kind; of it nothing but the index is fetched."""
    index = copy / "model_index.json"
    index.write_text(index.read_text().replace("StableDiffusionPipeline", "FluxPipeline"))
    fetched: list[str] = []

    def fetch(source: str, name: str, revision: Any = None, local_files_only: bool = False) -> str:
        if local_files_only:
            raise OSError("not here")
        fetched.append(name)
        return str(copy / name)

    monkeypatch.setattr("i2i_dds.teacher.folders.hf_hub_download", fetch)
    monkeypatch.setattr("i2i_dds.teacher.folders.model_info", lambda *args, **options: None)
    with pytest.raises(UserError, match=r"'some/model' is a FluxPipeline; .*teacher=flux"):
        load("some/model")
    assert fetched == ["model_index.json"]
