"""``python scripts/lora.py``: teaches the teacher one picture, and shows what it has learned."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from i2i_dds.checks import called, choice, integer, number, optional, several, text
from i2i_dds.cli.app import entry_point, resolved, run_dir
from i2i_dds.cli.checks import check
from i2i_dds.cli.keys import build, typed_keys
from i2i_dds.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from i2i_dds.editing.lora_cache import KeptLora
    from i2i_dds.teacher.interface import Teacher

WEIGHTS = "pytorch_lora_weights.safetensors"
"""Where diffusers' ``load_lora_weights(folder)`` looks."""

_RULES = {
    "image": optional(text()),
    "prompt": optional(text(empty=True)),
    "size": optional(several(integer(min=1))),
    "fit": choice("error", "resize", "crop"),
    "split": choice("train", "val", "test"),
    "lora_dir": text(),
    "draws": integer(min=1),
    "t0": number(above=0, max=1),
    "sample_steps": integer(min=1),
}


@dataclass(frozen=True)
class _Subject:
    """What is learned: a picture (3, H, W) in [-1, 1], what it shows, and where it is from."""

    x: Tensor
    prompt: str
    file: str


@entry_point("lora", text=["prompt"])
def main(cfg: DictConfig) -> Path:
    """Trains or finds the adapter, writes the run folder and returns it."""
    from i2i_dds.editing.lora import noise_error
    from i2i_dds.editing.lora_cache import lora_for
    from i2i_dds.editing.lora_teacher import CosineScale, LoraTeacher
    from i2i_dds.progress import progress_bar
    from i2i_dds.runs import run_folder, write_image

    check(cfg, _RULES)
    settings = build(cfg, "lora")
    with called({"high": "lora_high", "low": "lora_low"}):
        scale = CosineScale(cfg.lora_high, cfg.lora_low)
    _check_input(cfg)
    teacher = build(cfg, "teacher")
    subject = _subject(cfg, teacher)
    with called({"steps": "sample_steps"}):
        end = max(1, teacher.process.pairs(cfg.sample_steps, cfg.t0)[0][0])
    scale = replace(scale, t_end=end)

    with run_folder(run_dir()) as folder, typed_keys(cfg, "lora"):
        with progress_bar(f"LoRA, {settings.steps} steps") as update:
            kept = lora_for(
                *(teacher, subject.x, subject.prompt, settings, cfg.lora_dir),
                on_step=lambda done: update(done.step + 1, done.steps),
            )
        z, words = teacher.encode(subject.x[None]), teacher.embed([subject.prompt])
        before, plain = noise_error(teacher, z, words, cfg.draws), _back(cfg, teacher, z, words)
        with LoraTeacher(teacher, kept.file) as learned:
            after = noise_error(learned, z, words, cfg.draws)
            learned.scale = scale
            adapted = _back(cfg, learned, z, words)
        numbers: dict[str, Any] = {"loss_before": before, "loss_after": after, "draws": cfg.draws}
        numbers |= _likeness(subject.x, plain, adapted) | {"evaluations": teacher.nfe}
        write_image(folder / "comparison.png", _comparison(subject, plain, adapted))
        _write(folder, subject, kept, numbers, asdict(settings), resolved(cfg))
    _report(numbers, kept)
    return run_dir()


def _check_input(cfg: DictConfig) -> None:
    from i2i_dds.data.images import load_image

    if cfg.image is None:
        if cfg.prompt is not None:
            raise UserError(
                f"prompt: {cfg.prompt!r} goes with image=<picture>; a Critters scene has its own"
            )
        return
    if cfg.prompt is None:
        raise UserError("prompt: none is given; give what the picture shows, such as 'a cat'")
    load_image(cfg.image)


def _subject(cfg: DictConfig, teacher: Teacher) -> _Subject:
    from i2i_dds.cli.sizes import side
    from i2i_dds.critters import render
    from i2i_dds.data.images import fit, load_image, to_tensor
    from i2i_dds.data.sources import captioned_scenes

    size = side(cfg.size)
    if cfg.image is not None:
        picture = fit(load_image(cfg.image), teacher.vae_scale_factor, size, cfg.fit)
        return _Subject(to_tensor(picture), cfg.prompt, cfg.image)
    (scene,) = captioned_scenes(cfg.split, 1, cfg.seed)
    drawn = render(scene.scene, teacher.native_size if not isinstance(size, int) else size)
    picture = fit(drawn, teacher.vae_scale_factor, size, cfg.fit)
    return _Subject(to_tensor(picture), scene.caption, scene.key)


def _back(cfg: DictConfig, teacher: Teacher, z: Tensor, words: Any) -> Tensor:
    """The picture noised to t0 and brought back by DDIM, (3, H, W)."""
    from i2i_dds.diffusion.randomness import item_generators
    from i2i_dds.editing.interface import EditBatch, finish
    from i2i_dds.editing.sdedit import SDEdit

    batch = EditBatch(z, words, words, item_generators(cfg.seed, ["lora-comparison"]))
    back = finish(SDEdit("ode", cfg.sample_steps, cfg.t0, 1.0)(teacher, batch))
    return teacher.decode(back.z)[0].cpu()


def _likeness(x: Tensor, plain: Tensor, adapted: Tensor) -> dict[str, float]:
    from i2i_dds.metrics.image import psnr

    found = {"psnr_without": plain, "psnr_with": adapted}
    return {name: psnr(back[None], x[None]).item() for name, back in found.items()}


def _comparison(subject: _Subject, plain: Tensor, adapted: Tensor) -> Any:
    from i2i_dds.data.images import to_pil
    from i2i_dds.evaluation.grid import difference, grid

    columns = {
        "picture": subject.x,
        "back without": plain,
        "back with LoRA": adapted,
        "error without": difference(plain, subject.x),
        "error with LoRA": difference(adapted, subject.x),
    }
    side = min(256, max(144, 2 * max(subject.x.shape[-2:])))
    cells = {name: [to_pil(x)] for name, x in columns.items()}
    return grid(cells, [subject.prompt or "(no prompt)"], side)


def _write(
    folder: Path,
    subject: _Subject,
    kept: KeptLora,
    numbers: dict[str, Any],
    settings: dict[str, Any],
    config: dict[str, Any],
) -> None:
    from i2i_dds.evaluation.summary import write_csv
    from i2i_dds.runs import replacing, write_json

    with replacing(folder / WEIGHTS) as partial:
        shutil.copyfile(kept.file, partial)
    lines = [{"step": step, "loss": loss} for step, loss in enumerate(kept.losses, 1)]
    write_csv(folder / "losses.csv", ["step", "loss"], lines)
    result: dict[str, Any] = {"file": subject.file, "prompt": subject.prompt, **numbers}
    result |= {"seconds": kept.seconds, "reused": kept.reused, "kept": kept.file}
    result |= {"width": subject.x.shape[-1], "height": subject.x.shape[-2]}
    write_json(folder / "result.json", {**result, "settings": settings, "config": config})


def _report(numbers: dict[str, Any], kept: KeptLora) -> None:
    """The numbers, for a person, on standard error."""
    from rich.console import Console

    how = "reused, trained once in" if kept.reused else "trained in"
    console = Console(stderr=True)
    console.print(f"{how} {kept.seconds:.1f} s: {kept.file}", soft_wrap=True)
    for name in ("loss_before", "loss_after", "psnr_without", "psnr_with"):
        console.print(f"{name:26}{numbers[name]:.4g}")


if __name__ == "__main__":
    main()
