"""``i2i doctor``: what is installed, whether it works, and what killed runs have left behind."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from itertools import chain
from pathlib import Path

from omegaconf import DictConfig

from i2i_dds.cli.app import entry_point

_SELF = "i2i-dds"
_FOR_US = ("dev", "docs", "notebooks")
"""Extras of those who work on the package."""
_PACKAGES = (
    *("torch", "diffusers", "transformers", "pytorch-lightning", "hydra-core", "pillow"),
    *("safetensors", "wandb"),
)


@entry_point("doctor")
def main(cfg: DictConfig) -> Path:
    """Prints what it finds, a line each, and returns the folder of runs; it changes nothing."""
    from rich.console import Console

    folders = [Path(cfg.paths[name]) for name in ("output_dir", "sweep_dir", "data_dir")]
    console = Console(stderr=True)
    parts = (_machine(), _extras(), _disks(folders), _models(), _hub_models(), _left(folders))
    for name, found in chain.from_iterable(parts):
        console.print(f"{name:18} {found}", soft_wrap=True, markup=False, highlight=False)
    return folders[0]


def _machine() -> Iterator[tuple[str, str]]:
    import torch

    import i2i_dds
    from i2i_dds.training.loggers import has_key

    yield "i2i-dds", i2i_dds.__version__
    yield "python", f"{platform.python_version()} on {platform.platform()}"
    for name in _PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            yield name, "not installed"
    cuda = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    yield "device", ", ".join(cuda) or "CPU"
    yield "threads", f"{torch.get_num_threads()} of {os.cpu_count()} cores"
    yield "W&B key", "is set" if has_key() else "is not set; its runs stay offline"


def _extras() -> Iterator[tuple[str, str]]:
    """What each extra of this package still wants, and how to get it."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(line) for line in requires(_SELF) or ()]
    except PackageNotFoundError:  # a checkout that is not installed
        return
    for extra in metadata(_SELF).get_all("Provides-Extra") or ():
        if extra in _FOR_US:
            continue
        own = [one for one in wanted if one.marker and one.marker.evaluate({"extra": extra})]
        missing = [one.name for one in own if not _has(one.name)]
        yield (
            f"extra {extra}",
            f"lacks {', '.join(missing)}; pip install '{_SELF}[{extra}]'" if missing else "is here",
        )


def _has(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def _disks(folders: list[Path]) -> Iterator[tuple[str, str]]:
    from i2i_dds.leftovers import readable

    for folder in folders:
        there = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
        free = readable(shutil.disk_usage(there).free)
        writable = "" if os.access(there, os.W_OK) else ", but it may not be written by this user"
        yield str(folder), f"{free} free{writable}"


def _models() -> Iterator[tuple[str, str]]:
    from i2i_dds.evaluation.measure import load_judge
    from i2i_dds.metrics.clip import Clip
    from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

    loads = {
        "teacher": lambda: StableDiffusionTeacher.load("pocket", device="cpu"),
        "judge": lambda: load_judge("pocket"),
        "clip": lambda: Clip.load("pocket"),
    }
    for name, load in loads.items():
        try:
            load()
            yield f"pocket {name}", "loads"
        except Exception as error:  # whatever is wrong with it is what is asked for
            yield f"pocket {name}", f"does not load: {error}"


def _hub_models() -> Iterator[tuple[str, str]]:
    """Models in the hub's cache that can be teachers, and what to type for each."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import CacheNotFound

    from i2i_dds.errors import UserError
    from i2i_dds.leftovers import readable
    from i2i_dds.teacher.families import INDEX, families, pipeline_in

    found = []
    with suppress(CacheNotFound):
        for repo in sorted(scan_cache_dir(HF_HUB_CACHE).repos, key=lambda repo: repo.repo_id):
            indices = [one.snapshot_path / INDEX for one in repo.revisions]
            for index in filter(Path.is_file, indices[:1]):
                with suppress(UserError):
                    kind = pipeline_in(index)
                    choice = [f.choice for f in families().values() if kind in f.pipelines]
                    told = f"{repo.repo_id} is a {kind}, no teacher"
                    if choice:
                        told = f"teacher={choice[0]} teacher.path={repo.repo_id}"
                    found.append(f"{told}, {readable(repo.size_on_disk)}")
    for one in found or [f"has none ({HF_HUB_CACHE}); teacher=sd15 downloads one when it is used"]:
        yield "hub's cache", one


def _left(folders: list[Path]) -> Iterator[tuple[str, str]]:
    from i2i_dds.leftovers import leftovers

    found = [one for folder in folders for one in leftovers(folder, deep=True)]
    for one in found:
        yield "left behind", f"{one} by a run that did not end; remove it if you do not need it"
    if not found:
        yield "left behind", "nothing"


if __name__ == "__main__":
    main()
