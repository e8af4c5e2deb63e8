"""A benchmark's batches: what is left to do, and each from its pictures to its rows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

from torch import Tensor

from i2i_dds.data.edits import collate
from i2i_dds.data.images import to_pil
from i2i_dds.distributed import get_rank_and_world_size, on_rank_zero
from i2i_dds.research.benchmark.method import Method
from i2i_dds.research.benchmark.pictures import SOURCE, TRUTH
from i2i_dds.research.benchmark.sets import BenchmarkSet, Scenes
from i2i_dds.research.benchmark.summary import write_summary
from i2i_dds.resumable import OnProgress, check_same, describe, run_resumable
from i2i_dds.runs import flatten, write_image, write_json
from i2i_dds.student.unet import EditUNet


@dataclass(frozen=True)
class Unit:
    """A batch of scenes and a method: what is done at once, and kept in a file of its own."""

    method: str
    edit: str
    seed: int
    first: int
    names: Sequence[str]
    full_sweep: bool

    @property
    def path(self) -> str:
        """Under the run's folder."""
        return f"units/{self.method}/{self.edit}-seed{self.seed}-{self.first:04}.json"


@dataclass(frozen=True)
class Benchmark:
    """What is measured, and where its files go.

    Attributes:
        folder: Of all files.
        methods: By name.
        data: What is edited, and how it is measured.
        seeds: Each has scenes and noise of its own.
        batch_size: Scenes a batch.
        curve_seeds: Of the first scenes of so many seeds every value of a method's parameter is
            measured, of all others the default alone.
        curve_n: So many scenes of each kind, in whole batches; None is all.
        pictures: Kept of each kind of edit.
        settings: All else that rows depend on, by dotted key.
        notify: Told what a person should know.
    """

    folder: Path
    methods: Mapping[str, Method]
    data: BenchmarkSet
    seeds: Sequence[int]
    batch_size: int
    curve_seeds: int
    curve_n: int | None
    pictures: int
    settings: Mapping[str, Any]
    notify: Callable[[str], None]

    def run(self, on_progress: OnProgress) -> str | None:
        """Does this process's share of what is left, then the summary on the first process.

        Returns:
            The table that a person sees, on the first process; None on the others.

        Raises:
            UserError: The folder holds rows that were made with other settings.
        """
        on_rank_zero(self._check_settings)
        units = self._units()
        run_resumable(
            units,
            finished=self._finished,
            do=self._do,
            called="batches",
            on_progress=on_progress,
            notify=self.notify,
        )
        if get_rank_and_world_size()[0] > 0:
            return None
        return write_summary(
            self.folder,
            self.data,
            {name: method.default_value for name, method in self.methods.items()},
            rows=self._rows(units),
            curve=self._rows([unit for unit in units if unit.full_sweep]),
            scenes={edit: self._scenes[self.seeds[0], edit] for edit in self.data.edits},
            pictures=self.pictures,
        )

    def _check_settings(self) -> None:
        """Refuses to mix rows: what all methods share, and then each one's own settings."""
        check_same(self.folder, self.settings)
        for name, method in self.methods.items():
            own = describe(method) if method.student is None else _weights_digest(method.student)
            check_same(self.folder / "units" / name, flatten({name: own}))

    def _units(self) -> list[Unit]:
        """All there is to do: batches of the first scenes first, so that n may grow."""
        names = {place: scenes.names for place, scenes in self._scenes.items()}
        size = self.batch_size
        return [
            Unit(name, edit, seed, first, list(part), self._is_swept(seed, first))
            for first in range(0, max(map(len, names.values())), size)
            for name, method in self.methods.items()
            for (seed, edit), found in names.items()
            if (part := found[first : first + size]) and method.can(edit)
        ]

    def _is_swept(self, seed: int, first: int) -> bool:
        """Whether a batch is measured at every value, and makes the trade-off curve."""
        beyond = self.curve_n is not None and first >= self.curve_n
        return not beyond and seed in self.seeds[: self.curve_seeds]

    @cached_property
    def _scenes(self) -> dict[tuple[int, str], Scenes]:
        """By seed and kind of edit."""
        return {
            (seed, edit): self.data.scenes(edit, seed)
            for seed in self.seeds
            for edit in self.data.edits
        }

    def _finished(self, unit: Unit) -> bool:
        """Whether a batch has a file, of these pictures and maybe more, and of its values."""
        path, shown = self.folder / unit.path, unit.names[: self._pictures_of(unit)]
        folder = self.folder / "pictures" / unit.method
        if not all(file.is_file() for file in (path, *(folder / f"{n}.png" for n in shown))):
            return False
        kept = json.loads(path.read_text(encoding="utf-8"))
        first = kept["names"][: len(unit.names)]
        return first == list(unit.names) and kept["every"] >= unit.full_sweep

    def _do(self, unit: Unit) -> None:
        """One batch from its pictures to its rows."""
        read = self._scenes[unit.seed, unit.edit].read
        scenes = [read(unit.first + place) for place in range(len(unit.names))]
        method, batch = self.methods[unit.method], collate(scenes)
        teacher, rows = self.data.teacher, []
        # Embeddings are kept, so else the first method of a batch would pay for the others.
        teacher.embed([*batch["source"], *batch["target"], ""])
        for output in method.outputs(teacher, scenes, self.data.tasks, unit.seed, unit.full_sweep):
            if output.nonfinite:
                self.notify(
                    f"{unit.method}, {unit.edit}, seed {unit.seed}: {output.nonfinite} entries "
                    "of gradients or latents were not finite"
                )
            if _same(output.value, method.default_value):
                self._write_pictures(unit, scenes, output.x)
            for name, numbers in zip(unit.names, self.data.meter(batch, output.x), strict=True):
                row = {"editor": unit.method, "edit": unit.edit, "seed": unit.seed, "name": name}
                row |= {"strength": output.value, **numbers}
                rows.append(row | {"seconds": output.seconds, "evaluations": output.nfe})
        kept = {"names": unit.names, "every": unit.full_sweep, "rows": rows}
        write_json(self.folder / unit.path, kept)

    def _write_pictures(self, unit: Unit, scenes: Sequence[Mapping[str, Any]], x: Tensor) -> None:
        """Keeps the first seed's first pictures for the contact sheets."""
        for scene, picture in list(zip(scenes, x, strict=True))[: self._pictures_of(unit)]:
            shown = {unit.method: picture, SOURCE: scene["image"], TRUTH: scene.get("truth")}
            for name, one in shown.items():
                if one is not None:
                    file = self.folder / "pictures" / name / f"{scene['key']}.png"
                    write_image(file, to_pil(one))

    def _pictures_of(self, unit: Unit) -> int:
        """How many of a batch's pictures are kept: the first ones of the first seed."""
        return max(0, self.pictures - unit.first) if unit.seed == self.seeds[0] else 0

    def _rows(self, units: Sequence[Unit]) -> list[dict[str, Any]]:
        """Of all batches and their pictures, whoever made them."""
        rows = []
        for unit in units:
            kept, names = json.loads((self.folder / unit.path).read_text("utf-8")), set(unit.names)
            rows += [row for row in kept["rows"] if row["name"] in names]
        return rows


def _weights_digest(student: EditUNet) -> dict[str, str]:
    """Tells students apart, whatever their folders are called."""
    digest = blake2b(digest_size=16)
    for name, weight in sorted(student.state_dict().items()):
        digest.update(name.encode() + weight.cpu().numpy().tobytes())
    return {"weights": digest.hexdigest()}


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))
