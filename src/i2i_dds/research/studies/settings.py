"""What each study asks, at full size and at a quick one. Nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from i2i_dds.checks import (
    check_fields,
    checked,
    choice,
    flag,
    integer,
    number,
    optional,
    several,
    text,
)

_SAMPLERS = ("sde", "ode", "cycle_sde")
_TIMESTEPS = (50, 150, 250, 350, 450, 550, 650, 750, 850, 950)


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """Checks every field that has a rule.

    Raises:
        UserError: A value is not allowed; the message names it.
    """

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class DeltaSettings(StudySettings):
    """Of all studies of the delta.

    Attributes:
        n: Scenes for each seed.
        seeds: Of the scenes and the noise.
        split: "val" or "test".
        size: Side of the scenes; None is the teacher's own.
        judge: Says whether an edit succeeded: "pocket", or a folder.
        guidance_scale: Of classifier-free guidance; None is the teacher's preset, as for those that
            follow.
        lr: Step of the descents.
        t_min: Least timestep of the descents.
        t_max: The end of their timesteps, exclusive.
    """

    n: int = checked(integer(min=2), default=8)
    seeds: Sequence[int] = checked(several(integer(min=0)), default=(0, 1, 2))
    split: str = checked(choice("val", "test"), default="test")
    size: int | None = checked(optional(integer(min=1)), default=None)
    judge: str = checked(text(), default="pocket")
    guidance_scale: float | None = checked(optional(number(min=0)), default=None)
    lr: float | None = checked(optional(number(above=0)), default=None)
    t_min: int | None = checked(optional(integer(min=0, max=999)), default=None)
    t_max: int | None = checked(optional(integer(min=1, max=1000)), default=None)


@dataclass(frozen=True, kw_only=True)
class DescentSettings(DeltaSettings):
    """Of studies that compare descents.

    Attributes:
        at: Iterations after which to measure.
        measures: Columns that are drawn.
        probe: Whether the delta loss is measured on 19 timesteps, at each measurement.
        only: Which of the variants; None is all.
    """

    at: Sequence[int] = checked(several(integer(min=0)), default=(0, 10, 20, 30, 40, 60, 80))
    measures: Sequence[str] = checked(
        several(text()), default=("success", "psnr_truth_gain", "psnr_backdrop", "sharpness_kept")
    )
    probe: bool = checked(flag(), default=False)
    only: Sequence[str] | None = checked(optional(several(text())), default=None)


@dataclass(frozen=True, kw_only=True)
class IterationsSettings(DescentSettings):
    """Attributes: least: Of the early stop, in (0, 1); see ``editing.stopping``."""

    least: float = checked(number(above=0, below=1), default=0.5)


@dataclass(frozen=True, kw_only=True)
class CosineSettings(DeltaSettings):
    """Attributes: t: Timesteps to look at; num_noise: Noises to average over."""

    t: Sequence[int] = checked(several(integer(min=0, max=999)), default=_TIMESTEPS)
    num_noise: int = checked(integer(min=1), default=8)


@dataclass(frozen=True, kw_only=True)
class GradientsSettings(CosineSettings):
    """Attributes: iterations: After which to look; 0 is the source."""

    iterations: Sequence[int] = checked(several(integer(min=0)), default=(0, 20, 80))


@dataclass(frozen=True, kw_only=True)
class StudentSettings(StudySettings):
    """Of the study that reads trainings.

    Attributes:
        runs: Folders of runs of ``train.py``, or of sweeps of them.
        measures: Columns that are drawn.
    """

    runs: Sequence[str] | None = checked(optional(several(text())), default=None)
    measures: Sequence[str] = checked(
        several(text()),
        default=("success", "psnr_truth_gain", "psnr_backdrop", "sharpness", "collapse"),
    )


@dataclass(frozen=True, kw_only=True)
class SamplerSettings(StudySettings):
    """Of all studies that compare SDE and ODE.

    Attributes:
        n: Scenes.
        clip: In whose features pictures are compared: "pocket", or a folder.
        split: "val" or "test".
        seed: Of the scenes and the noise.
        batch_size: Pictures at a time.
    """

    n: int = checked(integer(min=2), default=64)
    clip: str = checked(text(), default="pocket")
    split: str = checked(choice("val", "test"), default="test")
    seed: int = checked(integer(min=0), default=0)
    batch_size: int = checked(integer(min=1), default=32)


@dataclass(frozen=True, kw_only=True)
class InpaintingSettings(SamplerSettings):
    """Attributes: ratios: Of the picture's area; guidance: Of the scene's caption."""

    n: int = checked(integer(min=2), default=256)  # more than the 128 features of a set's distance
    ratios: Sequence[float] = checked(several(number(above=0, max=1)), default=(0.25, 0.5))
    samplers: Sequence[str] = checked(several(choice("sde", "ode")), default=("sde", "ode"))
    steps: Sequence[int] = checked(several(integer(min=1)), default=(25, 50, 100))
    guidance_scale: float = checked(number(min=0), default=1.0)


@dataclass(frozen=True, kw_only=True)
class TranslationSettings(SamplerSettings):
    """Attributes: strength: How far up; threshold: Of DiffEdit's mask; judge: None is nobody."""

    n: int = checked(integer(min=2), default=192)
    editors: Sequence[str] = checked(
        several(choice("sdedit", "diffedit")), default=("sdedit", "diffedit")
    )
    samplers: Sequence[str] = checked(several(choice(*_SAMPLERS)), default=_SAMPLERS)
    strength: Sequence[float] = checked(
        several(number(above=0, max=1)), default=(0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
    )
    steps: int = checked(integer(min=1), default=25)
    guidance_scale: float = checked(number(min=0), default=3.0)
    threshold: float = checked(number(above=0, below=1), default=0.3)
    judge: str | None = checked(optional(text()), default="pocket")


_SENSITIVITY: Mapping[str, Sequence[float]] = {
    "radius": (1, 2, 3, 4, 5, 6, 7),
    "alpha": (1.0, 1.1, 1.2),
    "beta": (0.0, 0.3, 0.6),
    "drag_step": (1.0, 2.0, 4.0, 16.0),
    "strength": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
    "steps": (20, 40, 100, 200),
}


@dataclass(frozen=True, kw_only=True)
class DraggingSettings(SamplerSettings):
    """Of the study of drags: every sampler, then Cycle-SDE with one setting changed at a time.

    Attributes:
        samplers: Each drags ``n`` scenes.
        kinds: What moves, in turn.
        n_sensitivity: Drags for each value of a changed setting.
        sensitivity: Settings of a drag and their values, the presets among them; an empty list
            leaves one out.
    """

    samplers: Sequence[str] = checked(
        several(choice(*_SAMPLERS)), default=("cycle_sde", "sde", "ode")
    )
    kinds: Sequence[str] = checked(
        several(choice("head", "accessory", "ear")), default=("head", "accessory", "ear")
    )
    n_sensitivity: int = checked(integer(min=1), default=24)
    sensitivity: Mapping[str, Sequence[float]] | None = field(
        default_factory=lambda: dict(_SENSITIVITY)
    )


@dataclass(frozen=True)
class Study:
    """A study by its name.

    Attributes:
        summary: What it asks, in one sentence.
        module: Under ``i2i_dds.research.studies``; has ``run(settings, context)``.
        full: Its settings.
        quick: Those of a look, which tells little; None is ``full``.
        groups: Of ``conf/``, and the choice of each, that it needs beside teacher and task.
        teaches: Whether it needs a teacher.
    """

    summary: str
    module: str
    full: StudySettings
    quick: StudySettings | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    teaches: bool = True


def _descents(summary: str, **options: Any) -> Study:
    return Study(
        summary,
        "descents",
        DescentSettings(**options),
        DescentSettings(**{**options, "n": 2, "at": (0, 2, 4)}),
    )


STUDIES: Mapping[str, Study] = {
    "bad_direction": _descents(
        "Asked to make a picture what it is already: SDS with the true prompt, beside DDS.",
        at=(0, 20, 40, 60, 80, 120, 160, 200),
        measures=("sharpness_kept", "drift", "psnr_backdrop", "success"),
    ),
    "iterations": Study(
        "Far past the usual end: does the delta go on falling, and the edit on improving?",
        "descents",
        IterationsSettings(
            at=(0, 20, 30, 40, 50, *range(100, 2001, 100)),
            measures=(
                *("delta_loss", "psnr_truth_gain", "success", "psnr_backdrop", "sharpness_kept"),
                *("drift", "steps_taken"),
            ),
            probe=True,
        ),
        IterationsSettings(
            n=2,
            at=(0, 3, 6),
            measures=("delta_loss", "psnr_truth_gain", "success", "steps_taken"),
            probe=True,
        ),
    ),
    "guidance": _descents("How much guidance the delta wants."),
    "optimizer": _descents(
        "Plain descent, momentum, and Adam, which amplifies what is noise in a gradient.",
        measures=("success", "psnr_truth_gain", "psnr_backdrop", "sharpness_kept", "drift"),
    ),
    "prompts": _descents("What the source is said to be: the truth, nothing, something else."),
    "timesteps": _descents("How the timesteps of a descent are drawn."),
    "noise": _descents("The same noise for both branches of the delta, or noise of their own."),
    "cosine": Study(
        "Do the biases of related pictures agree, as the delta takes them to do?",
        "directions",
        CosineSettings(),
        CosineSettings(n=2, t=(200, 800), num_noise=1),
    ),
    "gradients": Study(
        "How long the gradients are, over t and on the way of an edit.",
        "directions",
        GradientsSettings(num_noise=4),
        GradientsSettings(n=2, iterations=(0, 2), t=(200, 800), num_noise=1),
    ),
    "student": Study(
        "What makes a student good: reads what runs of train.py measured at their end.",
        "students",
        StudentSettings(),
        teaches=False,
    ),
    "inpainting": Study(
        "Squares filled by a teacher that was never trained for it.",
        "samplers",
        InpaintingSettings(),
        InpaintingSettings(n=8, steps=(5,)),
    ),
    "translation": Study(
        "Cats into lions by SDEdit and by DiffEdit; the farther up, the more is changed.",
        "samplers",
        TranslationSettings(),
        TranslationSettings(n=8, strength=(0.5,), steps=10),
    ),
    "dragging": Study(
        "Critters drags by all three samplers, then with one setting changed at a time.",
        "drags",
        DraggingSettings(),
        DraggingSettings(n=2, n_sensitivity=2),
        groups={"lora": "default", "drag": "sde_drag"},
    ),
}
"""By name, as ``study=`` takes it."""
