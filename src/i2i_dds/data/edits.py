"""Data sets of edits: a picture, the task set for it, and where it exists the ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageChops
from torch import Tensor
from torch.utils.data import Dataset

from i2i_dds.critters import Scene, object_mask, render
from i2i_dds.data.folders import Samples
from i2i_dds.data.images import fit, to_tensor
from i2i_dds.data.shards import BrokenSample, Sample
from i2i_dds.data.sources import Split, captioned_scenes
from i2i_dds.data.splits import stable_hash
from i2i_dds.data.tars import Record
from i2i_dds.errors import UserError
from i2i_dds.tasks import TaskSet


class ShardEdits(Dataset):
    """Samples of shards or of a folder, each with tasks of the set that accept it.

    Where more accept it than are wanted, (seed, epoch, key) decide which; so every item is known
    before it is read, on any worker. It is indexed by (epoch, number), which gives the first of
    them; a loader asks for a whole batch and gets them all.
    """

    def __init__(
        self,
        shards: Samples,
        tasks: TaskSet,
        size: int,
        seed: int = 0,
        numbers: Sequence[int] | None = None,
        max_broken: int = 16,
        tasks_per_picture: int = 1,
    ) -> None:
        """See the class.

        Args:
            shards: the samples, as `open_samples` gives them.
            tasks: what to make of them.
            size: side in pixels; pictures of another size are scaled and cut to it.
            seed: of the choice of tasks.
            numbers: which samples, by default all that some task accepts.
            max_broken: after more unreadable pictures in a row than this, an item is black.
            tasks_per_picture: at most; fewer where fewer accept it.
        """
        self.tasks_per_picture = tasks_per_picture
        self.shards, self.tasks, self.size = shards, tasks, size
        self.seed, self.max_broken = seed, max_broken
        self.numbers = list(accepted(shards, tasks) if numbers is None else numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: tuple[int, int]) -> dict[str, Any]:
        """The first item of (epoch, number)."""
        return self._items(place)[0]

    def __getitems__(self, places: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
        """All items of a batch, those of one picture side by side."""
        return [item for place in places for item in self._items(place)]

    def _items(self, place: tuple[int, int]) -> list[dict[str, Any]]:
        """One picture with its tasks; one that cannot be read is replaced by the next one.

        The first item's "broken" names those, for the loader to count and to refuse.
        """
        epoch, number = place
        broken: list[str] = []
        while True:
            index = self.numbers[number % len(self)]
            try:
                sample = self.shards.read(index)
            except BrokenSample as error:
                broken.append(str(error))
                number += 1
                if len(broken) <= self.max_broken:
                    continue
                sample = _black(self.shards.records[index], self.size)
            image = to_tensor(fit(sample["image"], 1, self.size, "crop"))
            tasks = self._tasks_of(epoch, sample)
            share = torch.tensor(1 / len(tasks))
            first, *others = (edit_item(self.tasks, task, sample, image, share) for task in tasks)
            return [{**first, "broken": broken}, *({**other, "broken": []} for other in others)]

    def _tasks_of(self, epoch: int, sample: Sample) -> list[int]:
        choices = self.tasks.accepting(sample["scene"], sample["caption"])
        first = stable_hash(f"{self.seed}/{epoch}/{sample['key']}")
        count = min(self.tasks_per_picture, len(choices))
        return [choices[(first + turn) % len(choices)] for turn in range(count)]


class SceneEdits(Dataset):
    """Held-out Critters scenes, n for each task, with their exact counterfactuals.

    Beside what a training item has, each has "truth" (3, H, W), the picture as it should become,
    and "mask" (1, H, W), 1 where the edit may show: where the animal or what it wears is, before
    or after; or, for a task that changes the backdrop, where it is not. A scene depends on its
    task's `source`, not on the other tasks, so sets and single tasks are measured on the same.
    """

    def __init__(self, tasks: TaskSet, split: Split, n: int, seed: int = 0, size: int = 64) -> None:
        """Draw the scenes; they are rendered when asked for.

        Raises:
            UserError: n < 1, an unknown split, or a task without `target` or that can rewrite too
                few captions.
        """
        if n < 1:
            raise UserError(f"n: {n} is not allowed; give 1 or more held-out scenes")
        for task in tasks:
            if not task.target:
                raise UserError(
                    f"task.tasks.{task.name}.target: none is given, so no Critters scene has an "
                    "answer to it; give one, or pictures of your own with data=folder"
                )
        self.tasks, self.size = tasks, size
        self.edits = [
            (index, f"{task.name}-{key}", scene, words)
            for index, task in enumerate(tasks)
            for key, scene, words in _rewritable(tasks, index, split, n, seed)
        ]

    def __len__(self) -> int:
        return len(self.edits)

    def __getitem__(self, number: int) -> dict[str, Any]:
        task, key, scene, words = self.edits[number]
        truth = self.tasks[task].truth(scene)
        picture = render(scene, self.size)
        sample = Sample(key=key, image=picture, caption=words, scene=scene.to_dict())
        return {
            **edit_item(self.tasks, task, sample, to_tensor(picture)),
            "truth": to_tensor(render(truth, self.size)),
            "mask": edit_mask(scene, truth, self.size),
        }


def edit_item(
    tasks: TaskSet, task: int, sample: Sample, image: Tensor, share: Tensor | None = None
) -> dict[str, Any]:
    """What every data set of edits yields; `image` (3, H, W) in [-1, 1].

    `share` is what this item counts among those of one picture, (); None is all, 1.
    """
    prompts = tasks[task].prompts(sample["caption"])
    return {
        "key": sample["key"],
        "image": image,
        "caption": sample["caption"],
        "task": task,
        "source": prompts.source,
        "target": prompts.target,
        "instruction": prompts.instruction,
        "scene": sample["scene"],
        "share": torch.tensor(1.0) if share is None else share,
    }


def edit_mask(scene: Scene, truth: Scene, size: int) -> Tensor:
    """Where an edit from `scene` to `truth` may show, (1, size, size) of 0 and 1."""
    animal = ImageChops.lighter(object_mask(scene, size), object_mask(truth, size))
    if scene.backdrop == truth.backdrop:
        return (to_tensor(animal) > 0).float()
    if scene.replace(backdrop=truth.backdrop) != truth:
        return torch.ones(1, size, size)
    return (to_tensor(animal) < 1).float()


def collate(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Items -> batch: tensors stacked, task numbers a LongTensor (B,), the rest in lists.

    "broken" becomes one list of names for the whole batch.
    """
    batch: dict[str, Any] = {}
    for name in items[0]:
        values = [item[name] for item in items]
        if name == "broken":
            batch[name] = [broken for value in values for broken in value]
        elif isinstance(values[0], Tensor):
            batch[name] = torch.stack(values)
        else:
            batch[name] = torch.tensor(values) if name == "task" else values
    return batch


def accepted(shards: Samples, tasks: TaskSet) -> list[int]:
    """Numbers of the samples that some task accepts.

    Raises:
        UserError: there is none.
    """
    numbers = [
        number
        for number, record in enumerate(shards.records)
        if tasks.accepting(record.scene, record.caption)
    ]
    if not numbers:
        raise UserError(
            f"{shards.argument}: none of the {len(shards)} pictures of '{shards.folder}' is a "
            f"source of task {tasks.name}; "
            "its captions must hold the words of task.tasks.<name>.replace"
        )
    return numbers


def _rewritable(tasks: TaskSet, index: int, split: Split, n: int, seed: int) -> list[Any]:
    """The first n scenes of a split whose caption the task can rewrite."""
    task = tasks[index]
    found: list[Any] = []
    for start in range(0, 16 * n, n):
        for edit in captioned_scenes(split, n, seed, start, **task.source):
            if task.matches(edit[2]) and len(found) < n:
                found.append(edit)
        if len(found) == n:
            return found
    raise UserError(
        f"task.tasks.{task.name}.replace: its words occur in only {len(found)} of {16 * n} "
        "captions of Critters; give words that they use, or set append"
    )


def _black(record: Record, size: int) -> Sample:
    image = Image.fromarray(np.zeros((size, size, 3), dtype=np.uint8))
    return Sample(key=record.key, image=image, caption=record.caption, scene=record.scene)
