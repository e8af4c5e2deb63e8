"""``i2i doctor``: what is installed, whether it works, and what killed runs have left behind."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from omegaconf import DictConfig

from i2i_dds.cli.app import entry_point

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
    for name, found in [*_machine(), *_disks(folders), *_models(), *_left(folders)]:
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


def _left(folders: list[Path]) -> Iterator[tuple[str, str]]:
    from i2i_dds.leftovers import leftovers

    found = [one for folder in folders for one in leftovers(folder, deep=True)]
    for one in found:
        yield "left behind", f"{one} by a run that did not end; remove it if you do not need it"
    if not found:
        yield "left behind", "nothing"


if __name__ == "__main__":
    main()
