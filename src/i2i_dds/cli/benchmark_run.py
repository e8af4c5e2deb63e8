"""A benchmark's batches: what is left to do, and each from its pictures to its rows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from i2i_dds.cli.checks import listed
from i2i_dds.cli.progress import say
from i2i_dds.cli.resume import check_same, settings

if TYPE_CHECKING:
    from i2i_dds.cli.benchmark_data import Benchmark, Scenes
    from i2i_dds.research.benchmark.arms import Arm

_FREE = (
    *("n", "seeds", "curve_seeds", "curve_n", "editors", "pictures", "paths", "out"),
    *("arms", "students", "sizes", "setting"),
)
"""Settings that may differ when a benchmark goes on, or that are looked at editor by editor."""


@dataclass(frozen=True)
class Unit:
    """A batch of scenes and an editor: what is done at once, and kept in a file of its own."""

    arm: str
    edit: str
    seed: int
    first: int
    names: Sequence[str]
    every: bool

    @property
    def path(self) -> str:
        """Under the run's folder."""
        return f"units/{self.arm}/{self.edit}-seed{self.seed}-{self.first:04}.json"


@dataclass(frozen=True)
class Run:
    """What is measured with which settings, and where its files go."""

    cfg: DictConfig
    folder: Path
    arms: Mapping[str, Arm]
    data: Benchmark

    def check_settings(self) -> None:
        """Refuses to mix rows: what all editors share, and then each one's own settings."""
        check_same(self.folder, settings(self.cfg, _FREE))
        for name, arm in self.arms.items():
            student = arm.student
            own = self.cfg.arms[name] if student is None else {"weights": _weights_digest(student)}
            part = OmegaConf.create({"arms": {name: own}})
            part._set_parent(self.cfg)
            check_same(self.folder / "units" / name, settings(part, ()))

    def units(self) -> list[Unit]:
        """All there is to do: batches of the first scenes first, so that n may grow."""
        names = {place: scenes.names for place, scenes in self.scenes.items()}
        size = self.cfg.batch_size
        return [
            Unit(name, edit, seed, first, list(part), self._every(seed, first))
            for first in range(0, max(map(len, names.values())), size)
            for name, arm in self.arms.items()
            for (seed, edit), found in names.items()
            if (part := found[first : first + size]) and arm.can(edit)
        ]

    def _every(self, seed: int, first: int) -> bool:
        """Whether a batch is measured at every strength, and makes the frontier."""
        few = self.cfg.curve_n is not None and first >= self.cfg.curve_n
        return not few and seed in listed(self.cfg.seeds)[: self.cfg.curve_seeds]

    @cached_property
    def scenes(self) -> dict[tuple[int, str], Scenes]:
        """By seed and kind of edit."""
        return {
            (seed, edit): self.data.scenes(edit, seed)
            for seed in listed(self.cfg.seeds)
            for edit in self.data.edits
        }

    def finished(self, unit: Unit) -> bool:
        """Whether a batch has a file, of these pictures and maybe more, and of its strengths."""
        path, shown = self.folder / unit.path, unit.names[: self._shown(unit)]
        folder = self.folder / "pictures" / unit.arm
        if not all(file.is_file() for file in (path, *(folder / f"{n}.png" for n in shown))):
            return False
        kept = json.loads(path.read_text(encoding="utf-8"))
        first = kept["names"][: len(unit.names)]
        return first == list(unit.names) and kept["every"] >= unit.every

    def do(self, unit: Unit) -> None:
        """One batch from its pictures to its rows."""
        from i2i_dds.data.edits import collate
        from i2i_dds.runs import write_json

        read, places = self.scenes[unit.seed, unit.edit].read, range(len(unit.names))
        scenes = [read(unit.first + place) for place in places]
        arm, batch, rows = self.arms[unit.arm], collate(scenes), []
        # Embeddings are kept, so else the first editor of a batch would pay for the others.
        self.data.teacher.embed([*batch["source"], *batch["target"], ""])
        for cut in arm.cuts(self.data.teacher, scenes, self.data.tasks, unit.seed, unit.every):
            if cut.nonfinite:
                where = f"{unit.arm}, {unit.edit}, seed {unit.seed}"
                say(f"{where}: {cut.nonfinite} entries of gradients or latents were not finite")
            if _same(cut.strength, arm.main_value):
                self._pictures(unit, scenes, cut.x)
            for name, numbers in zip(unit.names, self.data.meter(batch, cut.x), strict=True):
                head = {"editor": unit.arm, "edit": unit.edit, "seed": unit.seed, "name": name}
                cost = {"seconds": cut.seconds, "evaluations": cut.evaluations}
                rows.append({**head, "strength": cut.strength, **numbers, **cost})
        kept = {"names": unit.names, "every": unit.every, "rows": rows}
        write_json(self.folder / unit.path, kept)

    def _pictures(self, unit: Unit, scenes: Sequence[Mapping[str, Any]], x: Any) -> None:
        """Keeps the first seed's first pictures for the contact sheets."""
        from i2i_dds.data.images import to_pil
        from i2i_dds.research.benchmark.pictures import SOURCE, TRUTH
        from i2i_dds.runs import write_image

        for scene, picture in list(zip(scenes, x, strict=True))[: self._shown(unit)]:
            shown = {unit.arm: picture, SOURCE: scene["image"], TRUTH: scene.get("truth")}
            for name, one in shown.items():
                if one is not None:
                    write_image(
                        self.folder / "pictures" / name / f"{scene['key']}.png", to_pil(one)
                    )

    def _shown(self, unit: Unit) -> int:
        """How many of a batch's pictures are kept: the first ones of the first seed."""
        first = listed(self.cfg.seeds)[0]
        return max(0, self.cfg.pictures - unit.first) if unit.seed == first else 0

    def rows(self, units: Sequence[Unit]) -> list[dict[str, Any]]:
        """Of all batches and their pictures, whoever made them."""
        found = []
        for unit in units:
            kept, names = json.loads((self.folder / unit.path).read_text("utf-8")), set(unit.names)
            found += [row for row in kept["rows"] if row["name"] in names]
        return found


def _weights_digest(student: Any) -> str:
    """Tells students apart, whatever their folders are called."""
    from hashlib import blake2b

    digest = blake2b(digest_size=16)
    for name, weight in sorted(student.state_dict().items()):
        digest.update(name.encode() + weight.cpu().numpy().tobytes())
    return digest.hexdigest()


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))
