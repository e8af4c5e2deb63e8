"""``python scripts/make_shards.py``: pictures with captions into webdataset shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from i2i_dds.cli.app import Incomplete, entry_point, resolved
from i2i_dds.errors import UserError
from i2i_dds.progress import notify

if TYPE_CHECKING:
    from i2i_dds.data.shards import Sample
    from i2i_dds.data.sources import Captioned


@entry_point("make_shards", text=["path", "prompts", "caption"])
def main(cfg: DictConfig) -> Path | Incomplete:
    """Writes the shards to ``cfg.out`` and returns it."""
    if cfg.source not in _SOURCES:
        raise UserError(f"source: '{cfg.source}' is unknown; it is one of {', '.join(_SOURCES)}")
    for name in ("n", "size", "samples_per_shard"):
        if not isinstance(cfg[name], int) or cfg[name] < 1:
            raise UserError(f"{name}: {cfg[name]!r} is not allowed; give a whole number from 1 on")
    from rich.console import Console
    from rich.progress import track

    from i2i_dds.data.shards import write_shards

    unreadable: dict[str, str] = {}
    samples, count = _SOURCES[cfg.source](cfg, unreadable)
    # The bar goes to standard error: the last line of standard output is the folder.
    samples = track(samples, cfg.source, count, console=Console(stderr=True))
    out = Path(cfg.out)
    settings = resolved(cfg)
    write_shards(samples, out, cfg.samples_per_shard, settings=settings, unreadable=unreadable)
    for reason in unreadable.values():
        notify(reason)
    if unreadable:
        notify(f"path: {len(unreadable)} files could not be read; all others are in the shards")
    return Incomplete(out) if unreadable else out


def _critters(cfg: DictConfig, _: dict[str, str]) -> tuple[Iterable[Sample], int]:
    from i2i_dds.data.sources import critters_samples

    return critters_samples(_scenes(cfg), cfg.size), cfg.n


def _folder(cfg: DictConfig, unreadable: dict[str, str]) -> tuple[Iterable[Sample], int | None]:
    from i2i_dds.data.folders import folder_samples

    if cfg.path is None:
        raise UserError("path: no folder is given; source=folder needs path=<folder of pictures>")
    samples = folder_samples(cfg.path, cfg.size, unreadable=unreadable, caption=cfg.caption)
    return samples, None


def _teacher(cfg: DictConfig, _: dict[str, str]) -> tuple[Iterable[Sample], int]:
    from i2i_dds.cli.keys import build
    from i2i_dds.data.sources import teacher_samples
    from i2i_dds.data.text import read_prompts

    if cfg.prompts is None:
        prompts = ((words, scene.to_dict()) for _, scene, words in _scenes(cfg))
    else:
        prompts = ((words, None) for words in islice(cycle(read_prompts(cfg.prompts)), cfg.n))
    samples = teacher_samples(
        build(cfg, "teacher"),
        prompts,
        seed=cfg.seed,
        size=cfg.size,
        steps=cfg.steps,
        guidance_scale=cfg.guidance_scale,
        batch_size=cfg.batch_size,
    )
    return samples, cfg.n


def _scenes(cfg: DictConfig) -> Iterator[Captioned]:
    """The n scenes to draw or describe: any, or equal shares of each task's sources."""
    from i2i_dds.data.sources import captioned_scenes, task_scenes
    from i2i_dds.tasks import TaskSet

    held = OmegaConf.to_container(cfg.scene, resolve=True)
    assert isinstance(held, dict)
    fixed: dict[str, Any] = {str(name): value for name, value in held.items() if value is not None}
    if cfg.get("task") is None:
        return captioned_scenes(cfg.split, cfg.n, cfg.seed, **fixed)
    tasks = TaskSet.from_mapping(OmegaConf.to_container(cfg.task, resolve=True))
    return task_scenes(tasks, cfg.split, cfg.n, cfg.seed, **fixed)


_Source = Callable[[DictConfig, dict[str, str]], "tuple[Iterable[Sample], int | None]"]
"""The samples and how many they are; it fills the mapping with files that cannot be read."""

_SOURCES: dict[str, _Source] = {
    "critters": _critters,
    "folder": _folder,
    "teacher": _teacher,
}


if __name__ == "__main__":
    main()
