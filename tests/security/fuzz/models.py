"""The readers of checkpoints: teachers, students, LoRA, CLIP, the judge, and their configs."""

import io
import json
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from i2i_dds.critters import ATTRIBUTES
from i2i_dds.editing.lora import LoraSettings
from i2i_dds.editing.lora_cache import lora_for
from i2i_dds.editing.lora_teacher import LoraTeacher
from i2i_dds.evaluation.measure import load_judge
from i2i_dds.metrics.clip import Clip
from i2i_dds.metrics.judge import Judge
from i2i_dds.student.build import new_student
from i2i_dds.student.load import check_resumable, load_student, read_checkpoint, student_config
from i2i_dds.tasks import Task, TaskSet
from i2i_dds.teacher.aura_flow import AuraFlowTeacher, build_random_aura_flow
from i2i_dds.teacher.families import family_of, pipeline_in
from i2i_dds.teacher.flux import FluxTeacher
from i2i_dds.teacher.flux2_klein import Flux2KleinTeacher, build_random_flux2_klein
from i2i_dds.teacher.random_flux import build_random_flux
from i2i_dds.teacher.random_sd3 import build_random_sd3
from i2i_dds.teacher.random_sdxl import build_random_sdxl
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from i2i_dds.teacher.single_file import layout_of
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher
from i2i_dds.teacher.stable_diffusion3 import StableDiffusion3Teacher
from i2i_dds.teacher.stable_diffusion_xl import StableDiffusionXLTeacher
from i2i_dds.training.checkpoints import newest_checkpoint
from tests.security.fuzz import mutations as m
from tests.security.fuzz.targets import BOTH, Target
from tests.teacher.single_files import sd_file

WEIGHTS = (m.safetensors_changed, m.safetensors_changed, m.bytes_changed)
UNET = {
    "sample_size": 8,
    "block_out_channels": [8, 16],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "cross_attention_dim": 8,
    "attention_head_dim": [1, 2],
    "norm_num_groups": 8,
}


def _sd(folder: Path) -> None:
    build_random_stable_diffusion(folder / "m", "tiny")


def _sd3(folder: Path) -> None:
    build_random_sd3(folder / "m", "tiny", t5=True)


def _read_sd(folder: Path) -> None:
    family_of(pipeline_in(folder / "m" / "model_index.json"), "m")
    teacher = StableDiffusionTeacher.load(str(folder / "m"), device="cpu")
    teacher.embed(["a cat"])


def _read_sd3(folder: Path) -> None:
    StableDiffusion3Teacher.load(str(folder / "m"), device="cpu").embed(["a cat"])


def _sdxl(folder: Path) -> None:
    build_random_sdxl(folder / "m", "tiny")


def _read_sdxl(folder: Path) -> None:
    StableDiffusionXLTeacher.load(str(folder / "m"), device="cpu").embed(["a cat", ""])


def _flux(folder: Path) -> None:
    build_random_flux(folder / "m", "tiny")


def _read_flux(folder: Path) -> None:
    FluxTeacher.load(str(folder / "m"), device="cpu").embed(["a cat"])


def _single(folder: Path) -> None:
    build_random_stable_diffusion(folder / "m", "tiny")
    sd_file(folder / "m", folder / "single.safetensors")


def _read_single(folder: Path) -> None:
    file = folder / "single.safetensors"
    layout_of(file)
    StableDiffusionTeacher.load(str(file), device="cpu", config=str(folder / "m"))


def _added_lora(folder: Path) -> None:
    build_random_stable_diffusion(folder / "m", "tiny")
    _lora(folder)


def _read_added_lora(folder: Path) -> None:
    file = folder / "a.safetensors"
    StableDiffusionTeacher.load(str(folder / "m"), device="cpu", lora=[f"{file}:0.5"])


def _aura_flow(folder: Path) -> None:
    build_random_aura_flow(folder / "m")


def _read_aura_flow(folder: Path) -> None:
    AuraFlowTeacher.load(str(folder / "m"), device="cpu").embed(["a cat"])


def _flux2_klein(folder: Path) -> None:
    build_random_flux2_klein(folder / "m")


def _read_flux2_klein(folder: Path) -> None:
    Flux2KleinTeacher.load(str(folder / "m"), device="cpu").embed(["a cat"])


def _part(name: str, kind: str, prepare: Any, read: Any, mutators: Any) -> Target:
    def seeds(folder: Path) -> list[bytes]:
        return [(folder / "m" / name).read_bytes()]

    return Target(f"{kind} {name}", f"m/{name}", seeds, read, mutators, prepare)


@lru_cache
def _student() -> Any:
    teacher = _teacher()
    task = Task("lion", {"cat": "lion"}, target={"species": "lion"})
    return new_student(teacher, TaskSet([task]), UNET)


@lru_cache
def _teacher() -> StableDiffusionTeacher:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = build_random_stable_diffusion(Path(folder) / "m", "tiny")
        return StableDiffusionTeacher.load(str(path), device="cpu")


def _checkpoint(_: Path) -> list[bytes]:
    weights = {f"student.{name}": value for name, value in _student().state_dict().items()}
    content = {
        **{"epoch": 1, "global_step": 2, "pytorch-lightning_version": "2.6.6"},
        **{"loops": {}, "callbacks": {}, "optimizer_states": [{}], "lr_schedulers": []},
        "hyper_parameters": {"student": student_config(_student())},
        "state_dict": weights,
    }
    stream = io.BytesIO()
    torch.save(content, stream)
    return [stream.getvalue()]


def _read_checkpoint(folder: Path) -> None:
    check_resumable(read_checkpoint(folder / "a.ckpt"), "path", "a.ckpt")
    load_student(folder / "a.ckpt")


def _lora(folder: Path) -> None:
    lora_for(_teacher(), torch.zeros(3, 32, 32), "a cat", LoraSettings(steps=1), folder)
    (file,) = folder.glob("*.safetensors")
    shutil.copy(file, folder / "a.safetensors")


def _lora_file(folder: Path) -> list[bytes]:
    return [(folder / "a.safetensors").read_bytes()]


def _read_lora(folder: Path) -> None:
    with LoraTeacher(_teacher(), folder / "a.safetensors"):
        pass


def _lora_json(folder: Path) -> None:
    _lora(folder)
    (folder / "a.safetensors").unlink()
    (found,) = folder.glob("*.json")
    shutil.copy(found, folder / "about")


def _read_lora_json(folder: Path) -> None:
    (found,) = folder.glob("*.json")
    shutil.copy(folder / "about", found)
    lora_for(_teacher(), torch.zeros(3, 32, 32), "a cat", LoraSettings(steps=1), folder)


def _run(folder: Path) -> None:
    (folder / "run" / "checkpoints").mkdir(parents=True)
    (folder / "run" / "checkpoints" / "last.ckpt").touch()


def _read_run(folder: Path) -> None:
    newest_checkpoint({"task": {"name": "a"}, "seed": 1}, folder)


def _clip(folder: Path) -> None:
    from i2i_dds.pocket import directory

    shutil.copytree(directory() / "clip", folder / "m")


def _judge(folder: Path) -> None:
    Judge(dict(ATTRIBUTES), width=8).save_pretrained(folder / "m")


def _many(kind: str, prepare: Any, read: Callable[[Path], Any], *names: str) -> list[Target]:
    return [
        _part(name, kind, prepare, read, WEIGHTS if name.endswith("safetensors") else BOTH)
        for name in names
    ]


MODELS = (
    *_many(
        *("SD", _sd, _read_sd, "model_index.json", "scheduler/scheduler_config.json"),
        *("unet/config.json", "vae/config.json", "text_encoder/config.json"),
        *("tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json"),
        *(f"{part}/diffusion_pytorch_model.safetensors" for part in ("unet", "vae")),
        "text_encoder/model.safetensors",
    ),
    *_many(
        *("SD3", _sd3, _read_sd3, "model_index.json", "scheduler/scheduler_config.json"),
        *("transformer/config.json", "text_encoder_3/config.json", "tokenizer_3/tokenizer.json"),
        *("tokenizer_3/tokenizer_config.json", "text_encoder_2/model.safetensors"),
    ),
    *_many(
        *("SDXL", _sdxl, _read_sdxl, "model_index.json", "unet/config.json"),
        *("text_encoder_2/config.json", "tokenizer_2/tokenizer_config.json"),
    ),
    *_many(
        *("FLUX", _flux, _read_flux, "model_index.json", "scheduler/scheduler_config.json"),
        *("transformer/config.json", "vae/config.json", "text_encoder_2/config.json"),
    ),
    Target(
        *("single file", "single.safetensors"),
        *(lambda f: [(f / "single.safetensors").read_bytes()], _read_single, WEIGHTS, _single),
    ),
    Target(
        *("Lightning checkpoint", "a.ckpt", _checkpoint, _read_checkpoint),
        (m.saved_changed, m.zip_changed, m.bytes_changed),
    ),
    *_many(
        *(
            "student",
            lambda f: _student().save_pretrained(f / "m"),
            lambda f: load_student(f / "m"),
        ),
        *("config.json", "diffusion_pytorch_model.safetensors"),
    ),
    *_many(
        *("CLIP", _clip, lambda f: Clip.load(f / "m").texts(["a cat"]), "config.json"),
        *("preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"),
        "model.safetensors",
    ),
    *_many(
        *("judge", _judge, lambda f: load_judge(f / "m"), "config.json"),
        "diffusion_pytorch_model.safetensors",
    ),
    *_many(
        *("AuraFlow", _aura_flow, _read_aura_flow, "model_index.json"),
        *("transformer/config.json", "vae/config.json", "text_encoder/config.json"),
    ),
    *_many(
        *("FLUX.2 klein", _flux2_klein, _read_flux2_klein, "model_index.json"),
        *("transformer/config.json", "vae/config.json", "text_encoder/config.json"),
        *("tokenizer/tokenizer_config.json", "scheduler/scheduler_config.json"),
    ),
    Target("added LoRA", "a.safetensors", _lora_file, _read_added_lora, WEIGHTS, _added_lora),
    Target("LoRA", "a.safetensors", _lora_file, _read_lora, WEIGHTS, _lora),
    Target(
        *("LoRA's JSON", "about", lambda f: [(f / "about").read_bytes()], _read_lora_json),
        *(BOTH, _lora_json),
    ),
    Target(
        *("run's config", "run/config.json"),
        lambda f: [json.dumps({"task": {"name": "a"}, "seed": 1, "score": {"a": [1]}}).encode()],
        *(_read_run, BOTH, _run),
    ),
)
"""Readers of checkpoints, and of all that lies beside their weights."""
