"""How much the bench measures."""

from __future__ import annotations

from dataclasses import dataclass

from i2i_dds.checks import Rule, check_fields, checked, choice, flag, integer, number, optional
from i2i_dds.critters import SPECIES

EPOCHS = 1.5
"""How often a training shows each picture: ``train.py`` by default 800 x 16 of 8,192."""

EPOCHS_OF_DRAWS = 12
"""The same where answers about the source are kept, which only then come to use."""

MOST_TARGETS = len(SPECIES) - 1
"""All species but the cat."""

PLAIN_ITEMS = 4
"""Edits of a timed run of the plain way, which does them one after another: more tell no more."""

TOLERANCE = 1e-4
"""Largest difference of a latent's entry at which two ways are the same: rounding, step by step."""

TRAINING_TOLERANCE = 2e-3
"""The same of latents that both students give out: AdamW makes much of small gradients."""


ONNX = "onnx"
"""The value of ``compile`` for ONNX Runtime."""

_COMPILE = Rule(
    "true, false, or onnx (ours by ONNX Runtime)",
    lambda value: value in (True, False, ONNX),
    (ONNX,),
)


@dataclass(frozen=True)
class BenchSettings:
    """The sizes of one run.

    Attributes:
        rounds: Timed runs of each way, of which the median counts.
        pictures: Of the row with a batch; 16 of a run that counts, as its name says.
        targets: Of the row with one picture; 8 of a run that counts.
        steps: Of the descents that must end at the same latents.
        plain_steps: Uniform steps of the plain descent that the teacher's preset is compared with
            at equal quality.
        preset_steps: Of that preset; None is its own.
        quality_n: Held-out scenes by which the quality is measured.
        drags: That are timed.
        quality_drags: By which the quality of drags is measured.
        train_steps: Of a student's training; in a multiple of :data:`EPOCHS_OF_DRAWS` as large a
            share of the sources is asked about as in the whole of one.
        train_batch: Pictures of each of them.
        dtype: Of our teacher in edits and in training at equal quality, where the student has
            autocast to it: "float32", "bfloat16", or "auto", which of both is faster in that row.
        train_guidance: Of our teacher in training at equal quality; 1 asks for half of the rows.
            None is the teacher's preset.
        train_draws: Likewise ``source_draws``; None draws anew at each step.
        student_steps: Of the trainings that say what such a student is worth.
        growth: Largest batch of the growth curves, in powers of two.
        crowded: Whether an edit is timed beside two busy processes.
        compile: "onnx" has ONNX Runtime run the teacher's network in all of our ways, and in none
            of the plain ones; its share of the peak is measured too. True measures the compiled
            network's share, which takes a minute or two, and changes nothing else.
    """

    rounds: int = checked(integer(min=1), default=5)
    pictures: int = checked(integer(min=1), default=16)
    targets: int = checked(integer(min=1, max=MOST_TARGETS), default=8)
    steps: int = checked(integer(min=1), default=20)
    plain_steps: int = checked(integer(min=1), default=80)
    preset_steps: int | None = checked(optional(integer(min=1)), default=None)
    quality_n: int = checked(integer(min=1), default=256)
    drags: int = checked(integer(min=1), default=4)
    quality_drags: int = checked(integer(min=1), default=128)
    train_steps: int = checked(integer(min=1), default=12)
    train_batch: int = checked(integer(min=1), default=16)
    dtype: str = checked(choice("auto", "float32", "bfloat16"), default="auto")
    train_guidance: float | None = checked(optional(number(min=0)), default=1.0)
    train_draws: int | None = checked(optional(integer(min=1)), default=2)
    student_steps: int = checked(integer(min=1), default=800)
    growth: int = checked(integer(min=1), default=16)
    crowded: bool = checked(flag(), default=True)
    compile: bool | str = checked(_COMPILE, default=False)

    def __post_init__(self) -> None:
        check_fields(self)
