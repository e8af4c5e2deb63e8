"""The data of a training: shards to learn from, held-out pictures to be measured on."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning import LightningDataModule
from pytorch_lightning.trainer.states import TrainerFn
from rich.console import Console
from rich.progress import track
from torch.utils.data import DataLoader, Subset

from i2i_dds.checks import flag, integer, require
from i2i_dds.data.edits import SceneEdits, ShardEdits, accepted, collate
from i2i_dds.data.epochs import EpochLoader, EpochPlan
from i2i_dds.data.folders import Samples, open_samples
from i2i_dds.data.shards import MANIFEST, write_shards
from i2i_dds.data.sources import Captioned, critters_samples, task_scenes
from i2i_dds.data.splits import HeldOut, check_held_out, split_numbers
from i2i_dds.data.tars import Oddities
from i2i_dds.distributed import launched_rank
from i2i_dds.errors import UserError
from i2i_dds.tasks import TaskSet

log = logging.getLogger(__name__)


class EditDataModule(LightningDataModule):
    """Batches of (picture, prompts, task) from shards, and held-out ones with their truth.

    A batch is a dict: `key`, `caption`, `source`, `target`, `instruction` (lists of text), `image`
    (B, 3, H, W) in [-1, 1], `task` (B,) long, `scene` (dicts, or None for photographs), `share`
    (B,), what a row counts among those of its picture; in training `broken`, the names of pictures
    that could not be read; held out and from Critters also `truth` and `mask` (see `SceneEdits`).

    Args:
        tasks: the edits to learn.
        folder: what to train on, shards or pictures with captions (see `data.captions`); None has
            Critters drawn for these tasks under `cache`, once.
        cache: where those go, in a folder named after all that they depend on.
        held_out: "critters" measures on scenes of other splits, with ground truths. All else holds
            pictures of `folder` back, without answers: "none" of them, a fraction, "folder" those
            of its splits, or "auto". See `data.splits`.
        caption: of pictures in `folder` that have none of their own.
        n_train: pictures to draw when `folder` is None.
        n_val: held-out pictures for validation: for each task ("critters") or, in all and at most,
            of those held back.
        n_test: the same for the test split.
        size: side in pixels.
        batch_size: pictures per batch on each rank.
        tasks_per_picture: in training, at most; each is a row of its own, beside the others of its
            picture, which share the teacher's answer about the source.
        fixed_ranks: whether each rank has the same pictures in every epoch, so that what it keeps
            of them in memory is of use again.
        eval_batch_size: the same for held-out pictures.
        num_workers: loading processes on each rank; 0 loads in the training process.
        seed: of the pictures drawn and the order of training.
        max_broken: how many unreadable pictures each rank passes over before it gives up.
    """

    def __init__(
        self,
        tasks: TaskSet,
        folder: str | Path | None = None,
        cache: str | Path = "data/shards",
        held_out: HeldOut = "critters",
        caption: str | None = None,
        n_train: int = 8192,
        n_val: int = 64,
        n_test: int = 256,
        size: int = 64,
        batch_size: int = 16,
        eval_batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
        max_broken: int = 16,
        tasks_per_picture: int = 1,
        fixed_ranks: bool = False,
    ) -> None:
        super().__init__()
        counts = {"n_train": n_train, "n_val": n_val, "n_test": n_test, "size": size}
        counts |= {"batch_size": batch_size, "eval_batch_size": eval_batch_size}
        counts |= {"tasks_per_picture": tasks_per_picture}
        for name, value in counts.items():
            require(name, value, integer(min=1))
        require("fixed_ranks", fixed_ranks, flag())
        check_held_out(held_out)
        self.tasks, self.held_out, self.caption, self.size = tasks, held_out, caption, size
        self.n_train, self.n = n_train, {"val": n_val, "test": n_test}
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.num_workers, self.seed, self.max_broken = num_workers, seed, max_broken
        self.tasks_per_picture, self.fixed_ranks = tasks_per_picture, fixed_ranks
        self.makes_shards = folder is None
        self.folder = Path(cache) / self._cache_name() if folder is None else Path(folder)

    def prepare_data(self) -> None:
        """Draws the Critters shards that are missing; one process of each machine calls this."""
        fitting = self.trainer is None or self.trainer.state.fn in (None, TrainerFn.FITTING)
        if not self.makes_shards or not (fitting or self.held_out != "critters"):
            return
        if (self.folder / MANIFEST).is_file():
            return
        samples = track(
            critters_samples(self._scenes(self.n_train), self.size),
            description=f"Drawing {self.n_train} Critters",
            total=self.n_train,
            console=Console(stderr=True),
            transient=True,
        )
        try:
            write_shards(samples, self.folder, settings=self._settings(), argument="cache")
        except (UserError, OSError):
            # Another process may have drawn the same ones meanwhile; whoever is first has it.
            if not (self.folder / MANIFEST).is_file():
                raise

    def dataset(self, split: Literal["train", "val", "test"]) -> ShardEdits | SceneEdits:
        """The edits of a split, whole: `ShardEdits` or `SceneEdits`."""
        if split != "train" and self.held_out == "critters":
            return SceneEdits(self.tasks, split, self.n[split], self.seed, self.size)
        return ShardEdits(
            *(self._shards, self.tasks, self.size, self.seed, self._numbers[split]),
            max_broken=self.max_broken,
            tasks_per_picture=self.tasks_per_picture if split == "train" else 1,
        )

    @property
    def sizes(self) -> dict[str, int]:
        """How many pictures there are for training, "train", validation, "val", and "test"."""
        held_out = {name: n * len(self.tasks) for name, n in self.n.items()}
        return {**held_out, **{name: len(numbers) for name, numbers in self._numbers.items()}}

    @property
    def oddities(self) -> Oddities:
        """What the shards lack, or what of them is passed over."""
        return self._shards.oddities

    def train_dataloader(self) -> EpochLoader:
        """Epochs of known length, resumable at any batch."""
        dataset = self.dataset("train")
        place = self._place()
        plan = EpochPlan(len(dataset), self.batch_size, self.seed, *place, self.fixed_ranks)
        return EpochLoader(dataset, collate, plan, self.num_workers, self.max_broken)

    def val_dataloader(self) -> EvalLoader | list[Any]:
        """This rank's part of the validation split, always in the same order; [] of no picture."""
        return self._held_out_loader("val")

    def test_dataloader(self) -> EvalLoader | list[Any]:
        """This rank's part of the test split, always in the same order; [] of no picture."""
        return self._held_out_loader("test")

    def _held_out_loader(self, split: Literal["val", "test"]) -> EvalLoader | list[Any]:
        dataset = self.dataset(split)
        if not len(dataset):
            return []
        rank, world = self._place()
        # One without a picture would not come to where all processes meet: it does another's too.
        rank %= min(world, len(dataset))
        return EvalLoader(dataset, self.eval_batch_size, rank, world, self.num_workers)

    @cached_property
    def _shards(self) -> Samples:
        if self.makes_shards and not self.folder.exists():
            self.prepare_data()
        shards = open_samples(self.folder, caption=self.caption)
        if launched_rank() == 0:
            for note in shards.oddities.notes():
                log.warning("%s: %s", self.folder, note)
        return shards

    @cached_property
    def _numbers(self) -> dict[str, list[int]]:
        numbers = accepted(self._shards, self.tasks)
        if self.held_out == "critters":
            return {"train": numbers}
        where = f"folder: the {len(numbers)} pictures of '{self.folder}'"
        n_val, n_test = self.n["val"], self.n["test"]
        return split_numbers(self._shards.records, numbers, self.held_out, n_val, n_test, where)

    def _place(self) -> tuple[int, int]:
        return (
            (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        )

    def _scenes(self, n: int) -> Iterator[Captioned]:
        return task_scenes(self.tasks, "train", n, self.seed)

    def _settings(self) -> dict[str, Any]:
        """All that the drawn shards depend on, the drawing code included."""
        drawn = hashlib.blake2b(digest_size=8)
        for sample in critters_samples(self._scenes(4 * len(self.tasks)), self.size):
            drawn.update(sample["image"].tobytes() + sample["caption"].encode())
        return {
            "source": "critters",
            "split": "train",
            "n": self.n_train,
            "seed": self.seed,
            "size": self.size,
            "sources": [dict(task.source) for task in self.tasks],
            "drawn": drawn.hexdigest(),
        }

    def _cache_name(self) -> str:
        text = json.dumps(self._settings(), sort_keys=True)
        digest = hashlib.blake2b(text.encode(), digest_size=5).hexdigest()
        return f"critters-{self.n_train}x{self.size}-{digest}"


class EvalLoader:
    """Batches of items `rank`, `rank + world`, ... of a data set: together, each exactly once.

    A class of its own, so that Lightning does not put a padding sampler in the loader's place.
    """

    def __init__(
        self,
        dataset: ShardEdits | SceneEdits,
        batch_size: int,
        rank: int = 0,
        world: int = 1,
        num_workers: int = 0,
    ) -> None:
        n = len(dataset)
        self.dataset = dataset
        # Items of shards are asked for by (epoch, number).
        places = [(0, i) if isinstance(dataset, ShardEdits) else i for i in range(rank, n, world)]
        self._loader = DataLoader(
            Subset(dataset, places),  # type: ignore[arg-type]
            batch_size,
            collate_fn=collate,
            num_workers=num_workers,
            generator=torch.Generator(),  # iter(DataLoader) would draw from the global one
        )

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self._loader:
            if broken := batch.get("broken"):
                raise UserError(
                    f"folder: the held-out picture {broken[0]} cannot be decoded; "
                    "make the shards again"
                )
            yield batch
