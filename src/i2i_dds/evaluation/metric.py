"""What a metric is, and those that every edit is measured by.

A new one is a function of :class:`Measured` and one line in :data:`METRICS`. It is then in
``metrics.json``, in ``rows.csv``, in the tables, in the keys of the loggers and on the plots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from i2i_dds.errors import UserError
from i2i_dds.metrics.image import psnr, sharpness
from i2i_dds.tasks import Task

_NAN = float("nan")

Distance = Callable[..., Tensor]
"""Of pictures (B, 3, H, W) in [-1, 1] and others: (B,)."""


@dataclass(frozen=True)
class Networks:
    """Networks that only some metrics need.

    Attributes:
        clip: A :class:`i2i_dds.metrics.clip.Clip`.
        lpips: A perceptual distance.
        structure: A distance of structures.
    """

    clip: Any = None
    lpips: Distance | None = None
    structure: Distance | None = None


@dataclass(frozen=True)
class Measured:
    """Edits and what they may be measured against.

    Attributes:
        x_src: Source pictures, (B, 3, H, W) in [-1, 1].
        x: Their edits, the same shape, all finite.
        tasks: The task of each; empty where there are none.
        truth: Renders of the exact counterfactuals, the same shape as ``x``; None if unknown.
        mask: (B, 1, H, W), above 0 where an edit belongs; None if unknown.
        prompts_src: Prompt of each source.
        prompts: Prompt of each edit.
        teacher: For the sources' reconstructions by its autoencoder.
        judge: Says what a picture shows; None leaves that open.
        networks: See there.
    """

    x_src: Tensor
    x: Tensor
    tasks: Sequence[Task] = ()
    truth: Tensor | None = None
    mask: Tensor | None = None
    prompts_src: Sequence[str] = ()
    prompts: Sequence[str] = ()
    teacher: Any = None
    judge: Any = None
    networks: Networks = field(default_factory=Networks)

    @cached_property
    def x_recon(self) -> Tensor:
        """Reconstructions of the sources, (B, 3, H, W) in [-1, 1]."""
        return self.teacher.decode(self.teacher.encode(self.x_src)).cpu()

    @cached_property
    def answers(self) -> Mapping[str, Sequence[str]] | None:
        """What the judge sees in the edits: attribute -> value of each picture."""
        return None if self.judge is None else self.judge.predict(self.x)

    @cached_property
    def answers_truth(self) -> Mapping[str, Sequence[str]] | None:
        """What the judge sees in the counterfactuals; None without either."""
        if self.judge is None or self.truth is None:
            return None
        return self.judge.predict(self.truth)

    @property
    def unknown(self) -> Tensor:
        """NaN for each picture, (B,)."""
        return torch.full((len(self.x),), _NAN)


Subject = TypeVar("Subject")
"""What a metric is a function of."""


@dataclass(frozen=True)
class Metric(Generic[Subject]):
    """A number of each edit, or of each drag.

    Attributes:
        name: In files, in the keys of loggers and in tables.
        label: What plots call it.
        unit: Of the number, "" if it has none.
        digits: After the point, where it is printed.
        higher_is_better: None where it does not tell a better edit from a worse one.
        function: The values (B,) of a batch of edits, or one drag's (), NaN where unknown.
        derived: Whether it follows from other metrics. ``rows.csv`` then leaves it out, and other
            files have it last.
        fraction: Whether tables write it in percent.
        weight: Column whose values weigh the rows in a mean; "" weighs all the same.
    """

    name: str
    label: str
    unit: str
    digits: int
    higher_is_better: bool | None
    function: Callable[[Subject], Tensor]
    derived: bool = False
    fraction: bool = False
    weight: str = ""

    @property
    def title(self) -> str:
        """Label and unit, as on an axis."""
        return f"{self.label}, {self.unit}" if self.unit else self.label


def measure(metrics: Iterable[Metric[Measured]], measured: Measured) -> list[dict[str, float]]:
    """The values of each picture, by name.

    Args:
        metrics: In the order of the values.
        measured: B pictures.
    """
    columns = {metric.name: metric.function(measured).tolist() for metric in metrics}
    return [{name: values[i] for name, values in columns.items()} for i in range(len(measured.x))]


def success(measured: Measured) -> Tensor:
    """1 where the judge finds every attribute of `task.target` at its target value, else 0.

    Raises:
        UserError: The judge does not look at an attribute.
    """
    answers = measured.answers
    if answers is None:
        return measured.unknown
    return torch.tensor([_succeeds(answers, i, task) for i, task in enumerate(measured.tasks)])


def psnr_truth(measured: Measured) -> Tensor:
    """The edit against the render of the counterfactual, dB."""
    return _against_truth(measured, measured.x)


def psnr_truth_gain(measured: Measured) -> Tensor:
    """What the edit gained over the untouched source, dB."""
    return psnr_truth(measured) - psnr_truth_source(measured)


def psnr_truth_source(measured: Measured) -> Tensor:
    """The untouched source against the counterfactual, dB: the identity baseline."""
    return _against_truth(measured, measured.x_src)


def psnr_truth_source_recon(measured: Measured) -> Tensor:
    """The source's reconstruction against the counterfactual, dB."""
    if measured.truth is None:  # and then no reconstruction is wanted
        return measured.unknown
    return psnr(measured.x_recon, measured.truth)


def psnr_backdrop(measured: Measured) -> Tensor:
    """The edit against the source's reconstruction where nothing should change, dB.

    These are the pixels that neither the source's nor the counterfactual's change may touch (see
    `data.edits.edit_mask`); of a photograph, those outside the mask that was found for it.
    """
    if measured.mask is None:
        return measured.unknown
    return psnr(measured.x, measured.x_recon, 1 - measured.mask)


def _sharpness(measured: Measured) -> Tensor:
    return sharpness(measured.x)


def _sharpness_source(measured: Measured) -> Tensor:
    return sharpness(measured.x_src)


METRICS: dict[str, Metric[Measured]] = {
    metric.name: metric
    for metric in (
        Metric("success", "success", "", 3, True, success),
        Metric("psnr_truth", "PSNR to the ground truth", "dB", 2, True, psnr_truth),
        Metric(
            "psnr_truth_gain",
            "PSNR gain to the ground truth",
            "dB",
            2,
            True,
            psnr_truth_gain,
            derived=True,
        ),
        Metric("psnr_truth_source", "PSNR of the source", "dB", 2, None, psnr_truth_source),
        Metric(
            "psnr_truth_source_recon",
            "PSNR of the source's reconstruction",
            "dB",
            2,
            None,
            psnr_truth_source_recon,
        ),
        Metric("psnr_backdrop", "background PSNR", "dB", 2, True, psnr_backdrop),
        Metric("sharpness", "sharpness", "", 4, True, _sharpness),
        Metric(
            "sharpness_source",
            "sharpness of the source",
            "",
            4,
            None,
            _sharpness_source,
        ),
    )
}
"""Those of every edit, by name, in the order of tables. Read it when it is used: it may grow."""


def edit_metrics() -> list[Metric[Measured]]:
    """Those of every edit in the order of files: what is derived comes last."""
    return sorted(METRICS.values(), key=lambda metric: metric.derived)


def ranking_metrics() -> list[str]:
    """Names of those that tell a better edit from a worse one, in the order of tables."""
    return [name for name, metric in METRICS.items() if metric.higher_is_better is not None]


def printed(name: str, value: float | None) -> str:
    """A number for a person: a metric's in its digits and unit, others in four digits."""
    metric = METRICS.get(name)
    if value is None:
        return "-"
    if metric is None:
        return f"{value:.4g}"
    return f"{value:.{metric.digits}f} {metric.unit}".rstrip()


def _against_truth(measured: Measured, x: Tensor) -> Tensor:
    return measured.unknown if measured.truth is None else psnr(x, measured.truth)


def _succeeds(answers: Mapping[str, Sequence[str]], item: int, task: Task) -> float:
    if not task.target:
        return _NAN
    for name in task.target:
        if name not in answers:
            raise UserError(
                f"task.tasks.{task.name}.target.{name}: the judge does not look at it; "
                f"it knows {', '.join(answers)}"
            )
    return float(all(answers[name][item] == value for name, value in task.target.items()))
