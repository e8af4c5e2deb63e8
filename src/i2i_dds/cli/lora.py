"""``python scripts/lora.py``: teaches the teacher one picture, and shows what it has learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from i2i_dds.checks import called, choice, integer, number, optional, several, text
from i2i_dds.cli.app import entry_point, resolved, run_dir
from i2i_dds.cli.checks import check
from i2i_dds.cli.keys import build, typed_keys
from i2i_dds.cli.numbers import show_numbers
from i2i_dds.errors import UserError
from i2i_dds.progress import notify, progress_bar

if TYPE_CHECKING:
    from i2i_dds.editing.lora_cache import KeptLora
    from i2i_dds.pipelines.lora_run import LoraSubject
    from i2i_dds.teacher.interface import Teacher

_RULES = {
    "image": optional(text()),
    "prompt": optional(text(empty=True)),
    "size": optional(several(integer(min=1))),
    "fit": choice("auto", "error", "resize", "crop"),
    "split": choice("train", "val", "test"),
    "lora_dir": text(),
    "draws": integer(min=1),
    "strength": number(above=0, max=1),
    "sample_steps": integer(min=1),
}


@entry_point("lora", text=["prompt"])
def main(cfg: DictConfig) -> Path:
    """Trains or finds the adapter, writes the run folder and returns it."""
    check(cfg, _RULES)
    from i2i_dds.editing.lora_cache import lora_for
    from i2i_dds.editing.lora_teacher import CosineScale
    from i2i_dds.pipelines.lora_run import compare, write_lora_run
    from i2i_dds.runs import run_folder

    settings = build(cfg, "lora")
    with called({"high": "lora_high", "low": "lora_low"}):
        scale = CosineScale(cfg.lora_high, cfg.lora_low)
    _check_input(cfg)
    teacher = build(cfg, "teacher")
    subject = _subject(cfg, teacher)
    with called({"steps": "sample_steps"}):
        end = max(1, teacher.process.pairs(cfg.sample_steps, cfg.strength)[0][0])
    scale = replace(scale, t_end=end)

    with run_folder(run_dir()) as folder, typed_keys(cfg, "lora"):
        with progress_bar(f"LoRA, {settings.steps} steps") as update:
            kept = lora_for(
                teacher,
                subject.x,
                subject.prompt,
                settings,
                cfg.lora_dir,
                on_step=lambda done: update(done.step + 1, done.steps),
            )
        learned = compare(
            teacher,
            subject,
            kept,
            scale,
            draws=cfg.draws,
            sample_steps=cfg.sample_steps,
            strength=cfg.strength,
            seed=cfg.seed,
        )
        write_lora_run(folder, subject, kept, learned, settings, resolved(cfg))
    _report(learned.numbers, kept)
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


def _subject(cfg: DictConfig, teacher: Teacher) -> LoraSubject:
    from i2i_dds.cli.sizes import side
    from i2i_dds.critters import render
    from i2i_dds.data.images import fit, load_image, to_tensor
    from i2i_dds.data.sources import captioned_scenes
    from i2i_dds.pipelines.lora_run import LoraSubject

    size, mode = side(cfg.size), "resize" if cfg.fit == "auto" else cfg.fit
    if cfg.image is not None:
        picture = fit(load_image(cfg.image), teacher.vae_scale_factor, size, mode)
        return LoraSubject(to_tensor(picture), cfg.prompt, cfg.image)
    (scene,) = captioned_scenes(cfg.split, 1, cfg.seed)
    drawn = render(scene.scene, teacher.native_size if not isinstance(size, int) else size)
    picture = fit(drawn, teacher.vae_scale_factor, size, mode)
    return LoraSubject(to_tensor(picture), scene.caption, scene.key)


def _report(numbers: Mapping[str, Any], kept: KeptLora) -> None:
    """How it came, and what it gives."""
    how = "reused, trained once in" if kept.reused else "trained in"
    notify(f"{how} {kept.seconds:.1f} s: {kept.file}")
    show_numbers(
        {name: numbers[name] for name in ("loss_before", "loss_after", "psnr_without", "psnr_with")}
    )


if __name__ == "__main__":
    main()
