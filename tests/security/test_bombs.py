"""Configs and files that ask for more than any machine has: refused before it is made.

Bombs in tars: `test_tars.py`. Bombs of pixels and texts in pictures: `tests/data/test_decoding.py`,
`tests/data/test_images.py`.
"""

import io
import json
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from i2i_dds.data.images import load_image, load_mask
from i2i_dds.diffusion.process import RectifiedFlow
from i2i_dds.editing.lora import LoraSettings
from i2i_dds.editing.lora_cache import lora_for
from i2i_dds.errors import UserError
from i2i_dds.metrics.clip import Clip
from i2i_dds.pocket import directory
from i2i_dds.reading import LARGEST_FILE, parse_json
from i2i_dds.student.load import load_student, read_checkpoint
from i2i_dds.teacher.flux import FluxTeacher
from i2i_dds.teacher.loading import MOST_LAYERS, check_sizes
from i2i_dds.teacher.random_flux import build_random_flux
from i2i_dds.teacher.random_sd3 import build_random_sd3
from i2i_dds.teacher.random_sdxl import build_random_sdxl
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher
from i2i_dds.teacher.stable_diffusion3 import StableDiffusion3Teacher
from i2i_dds.teacher.stable_diffusion_xl import StableDiffusionXLTeacher


def edit_json(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize("size", [None, 0, "64", [64, 64]])
def test_a_network_without_a_size_of_its_own_is_refused(tmp_path: Path, size: Any) -> None:
    folder = build_random_sdxl(tmp_path / "sdxl", "tiny")
    edit_json(folder / "unet" / "config.json", sample_size=size)
    with pytest.raises(UserError, match="^path: the network's sample_size is "):
        StableDiffusionXLTeacher.load(str(folder), device="cpu")


@pytest.mark.parametrize("longest", [78, 10**12, 10**30])
def test_texts_are_not_filled_up_beyond_their_encoder(tmp_path: Path, longest: int) -> None:
    folder = build_random_sdxl(tmp_path / "sdxl", "tiny")
    edit_json(folder / "tokenizer_2" / "tokenizer_config.json", model_max_length=longest)
    with pytest.raises(UserError, match="^path: the tokenizer of .* has model_max_length 1?[0-9]"):
        StableDiffusionXLTeacher.load(str(folder), device="cpu")


@pytest.mark.parametrize("size", [None, 0, "64", [64, 64]])
def test_an_autoencoder_without_a_size_is_refused_where_the_flow_depends_on_it(tmp_path, size):
    folder = build_random_flux(tmp_path / "flux", "tiny")
    edit_json(folder / "vae" / "config.json", sample_size=size)
    with pytest.raises(UserError, match="^path: (the VAE's sample_size is |vae of )"):
        FluxTeacher.load(str(folder), device="cpu")


SIZES = [
    *(("unet", "layers_per_block", 10**9), ("text_encoder", "num_hidden_layers", 10**9)),
    *(("vae", "layers_per_block", 10**9), ("text_encoder", "vocab_size", 10**12)),
    *(("unet", "block_out_channels", [10**9, 10**9]), ("vae", "sample_size", 10**30)),
    ("text_encoder", "max_position_embeddings", 2**40),
]


@pytest.mark.parametrize(("part", "key", "value"), SIZES)
def test_networks_larger_than_any_are_not_built(copy: Path, part: str, key: str, value) -> None:
    edit_json(copy / part / "config.json", **{key: value})
    with pytest.raises(UserError, match=rf"^path: {part} of .* has {key} \d+.*, above"):
        StableDiffusionTeacher.load(str(copy), device="cpu")


def test_sizes_of_every_shipped_config_are_allowed() -> None:
    for file in directory().rglob("config.json"):
        check_sizes(json.loads(file.read_text()), str(file))
    check_sizes({"num_hidden_layers": MOST_LAYERS, "eps": 1e-5, "on": True}, "a")
    with pytest.raises(UserError, match="^a has num_hidden_layers 1001, above 1000; copy"):
        check_sizes({"text_config": {"num_hidden_layers": MOST_LAYERS + 1}}, "a")


def test_a_checkpoint_takes_no_memory_that_its_weights_do_not(tmp_path: Path, content) -> None:
    config = content["hyper_parameters"]["student"]
    config["unet"] = {**config["unet"], "block_out_channels": [2**21, 2**22]}  # 10**14 weights
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match="is of another version of the student"):
        load_student(tmp_path / "a.ckpt")
    config["unet"] = {**config["unet"], "layers_per_block": 10**9}
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match="layers_per_block 1000000000, above 1000"):
        load_student(tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("num_train_timesteps", value) for value in (-(2**63), 0, 10**9, "1000", None, True)),
        *(("shift", value) for value in (0, -1, float("nan"), float("inf"), "3", [3])),
    ],
)
def test_a_flow_of_impossible_numbers_is_refused(key: str, value: Any) -> None:
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", key: value}
    with pytest.raises(UserError, match=f"^scheduler.{key}: .* is not allowed; give a"):
        RectifiedFlow.from_scheduler_config(config)


def test_tokens_that_a_text_encoder_does_not_know_are_refused(tmp_path: Path) -> None:
    for file in (directory() / "clip").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    edit_json(tmp_path / "tokenizer_config.json", pad_token="<of another model>")
    with pytest.raises(UserError, match="^clip: .* has a tokenizer of more tokens than its text"):
        Clip.load(tmp_path)


@pytest.mark.parametrize("values", [{"model_max_length": "77"}, {"pad_token": None}])
def test_a_t5_tokenizer_that_cannot_fill_up_a_text_is_refused(tmp_path: Path, values) -> None:
    folder = build_random_sd3(tmp_path / "sd3", "tiny", t5=True)
    edit_json(folder / "tokenizer_3" / "tokenizer_config.json", **values)
    with pytest.raises(UserError, match="^path: the tokenizer of .* has (model_max|no pad_token)"):
        StableDiffusion3Teacher.load(str(folder), device="cpu")


def test_a_tokenizer_is_not_filled_up_without_end(tmp_path: Path) -> None:
    folder = build_random_sd3(tmp_path / "sd3", "tiny", t5=True)
    edit_json(folder / "tokenizer_3" / "tokenizer_config.json", extra_ids=2**32)
    with pytest.raises(UserError, match="^path: tokenizer_3 of .* has extra_ids 4294967296, above"):
        StableDiffusion3Teacher.load(str(folder), device="cpu")


@pytest.mark.parametrize("farthest", [0, 8, -1, 2.5, None])
def test_distances_between_words_are_numbers_of_a_t5(tmp_path: Path, farthest: Any) -> None:
    folder = build_random_sd3(tmp_path / "sd3", "tiny", t5=True)
    edit_json(
        folder / "text_encoder_3" / "config.json",
        **{"relative_attention_num_buckets": 32, "relative_attention_max_distance": farthest},
    )
    with pytest.raises(UserError, match="^path: text_encoder_3 of "):
        StableDiffusion3Teacher.load(str(folder), device="cpu")


def test_a_compressed_checkpoint_is_not_unpacked(tmp_path: Path, content: dict[str, Any]) -> None:
    stream = io.BytesIO()
    torch.save(content, stream)
    whole = zipfile.ZipFile(stream)
    with zipfile.ZipFile(tmp_path / "a.ckpt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in whole.namelist():
            archive.writestr(name, whole.read(name))
        archive.writestr("archive/data/bomb", bytes(2**26))
    assert os.path.getsize(tmp_path / "a.ckpt") < 2**24
    with pytest.raises(UserError, match=r"is no checkpoint of train\.py, or damaged"):
        read_checkpoint(tmp_path / "a.ckpt")


@pytest.mark.parametrize("length", [2**63 - 1, 2**40, 10**8, 0])
def test_a_header_longer_than_its_file_is_not_waited_for(copy: Path, length: int) -> None:
    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(length.to_bytes(8, "little") + file.read_bytes()[8:])
    with pytest.raises(UserError, match="^path: "):
        StableDiffusionTeacher.load(str(copy), device="cpu")


@pytest.mark.parametrize("shape", [[2**40, 2**20], [2**62], [-1]])
def test_a_tensor_larger_than_its_file_is_not_made(copy: Path, shape: list[int]) -> None:
    file = copy / "vae" / "diffusion_pytorch_model.safetensors"
    header = {"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}}
    head = json.dumps(header).encode()
    file.write_bytes(len(head).to_bytes(8, "little") + head + bytes(4))
    with pytest.raises(UserError, match="^path: "):
        StableDiffusionTeacher.load(str(copy), device="cpu")


def test_a_file_larger_than_any_picture_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "a.png", "wb") as file:
        file.truncate(LARGEST_FILE + 1)  # a hole, which takes no room on the disk
    with pytest.raises(UserError, match=r"^image: '.*a\.png' is larger than 1024 MiB; give a"):
        load_image(tmp_path / "a.png")


def test_a_transparency_of_more_colors_than_there_are_is_no_picture(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.new("P", (4, 4)).save(stream, "PNG")
    data, body = stream.getvalue(), b"tRNS" + bytes(257)
    chunk = struct.pack(">I", 257) + body + struct.pack(">I", zlib.crc32(body))
    at = data.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(data[:at] + chunk + data[at:])
    for read in (load_image, lambda path: load_mask(path, (4, 4))):
        with pytest.raises(UserError, match=r"a\.png' cannot be read as a picture; give a whole"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize("text", ["[" * 10**6, '{"a":' * 10**5, "1" + "0" * 5000, '"\\ud800"'])
def test_json_that_python_stumbles_over_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_json(text)


@pytest.mark.parametrize("text", ["[" * 10**5, '{"losses": [], "seconds": 1' + "0" * 400 + "}"])
def test_a_lora_with_broken_words_beside_it_is_trained_again(teacher, tmp_path, text: str) -> None:
    def learned() -> bool:
        x, settings = torch.zeros(3, 32, 32), LoraSettings(steps=1)
        return lora_for(teacher, x, "a cat", settings, tmp_path).reused

    assert not learned() and learned()
    (about,) = tmp_path.glob("*.json")
    about.write_text(text)
    assert not learned() and learned()
