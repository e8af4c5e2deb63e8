"""Editors by name, with a teacher's presets where nothing else is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from i2i_dds.checks import called
from i2i_dds.diffusion.timesteps import timestep_sampler
from i2i_dds.editing.inpaint import Inpaint
from i2i_dds.editing.interface import Editor
from i2i_dds.editing.inversion import Inversion
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.editing.path_delta import PathDelta
from i2i_dds.editing.sdedit import SDEdit
from i2i_dds.errors import UserError
from i2i_dds.scores.cds import CDS
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.ids import IDS
from i2i_dds.scores.interface import Score
from i2i_dds.scores.lusd import LUSD
from i2i_dds.scores.pds import PDS
from i2i_dds.scores.sds import SDS
from i2i_dds.scores.sds_l2 import SDSL2
from i2i_dds.scores.ssd import SSD
from i2i_dds.teacher.presets import Presets

EDITORS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "zero_shot": ("zero_shot", {}),
    "inversion": ("inversion", {}),
    "cycle_sde": ("inversion", {"sampler": "cycle_sde"}),
    "ddim_inversion": ("inversion", {"sampler": "ode"}),
    "diffedit": ("inversion", {}),
    "sdedit": ("sdedit", {}),
    "path_delta": ("flowedit", {}),
    "flowedit": ("flowedit", {"eta": 0.0, "shift": None}),
    "drfs": ("drfs", {}),
    "edit_friendly": ("edit_friendly", {"eta": 1.0, "shift": None}),
    "inpaint": ("inpaint", {}),
}
"""Name -> whose presets it takes, and what its name fixes."""


def general(name: str) -> str:
    """The editor with the same settings of which its name fixes none."""
    family = EDITORS[name][0]
    return "path_delta" if family == name else family


STUDENT = "student"
"""The command's name for a trained student, which in Python is a class of its own,
:class:`i2i_dds.pipelines.student.Student`."""

SCORES: Mapping[str, Callable[..., Score]] = {
    "dds": DDS,
    "sds": SDS,
    "cds": CDS,
    "sds_l2": lambda: SDSL2(0.1),
    "pds": PDS,
    "ids": IDS,
    "ssd": SSD,
    "lusd": LUSD,
}
"""By name. Each is called with what the presets' block ``scores`` has for it."""

AS_ARGUMENTS = {"steps": "num_inference_steps"}
"""What presets and editors have -> the argument, where that has another name."""

_KEYS = {argument: key for key, argument in AS_ARGUMENTS.items()}

_TAKEN = {
    "zero_shot": ("guidance_scale", "steps", "lr", "score", "timesteps"),
    "inversion": ("guidance_scale", "steps", "strength", "sampler"),
    "sdedit": ("guidance_scale", "steps", "strength", "sampler"),
    "flowedit": ("guidance_scale", "steps", "strength"),
    "drfs": ("guidance_scale", "steps", "strength", "lr"),
    "edit_friendly": ("guidance_scale", "steps", "strength"),
    "inpaint": ("guidance_scale", "steps", "sampler"),
}


def build_editor(name: str, presets: Presets, **arguments: Any) -> tuple[Editor, dict[str, Any]]:
    """The editor called ``name`` and the settings it has.

    Args:
        name: One of :data:`EDITORS`.
        presets: Of the teacher.
        **arguments: ``guidance_scale``, ``num_inference_steps``, ``strength``, ``lr``, ``score``,
            ``sampler``, ``timesteps``; those that are None stay the presets'.

    Raises:
        UserError: Another name, or an argument that this editor has not or does not allow.
    """
    if name == STUDENT:
        raise UserError(
            "editor: 'student' has weights of its own and reads no prompts; "
            "give Student.from_pretrained(path)(images, task=...)"
        )
    if name not in EDITORS:
        raise UserError(f"editor: {name!r} is not allowed; give one of {', '.join(EDITORS)}")
    family, fixed = EDITORS[name]
    settings: dict[str, Any] = {**presets[family], **fixed}
    for argument, value in arguments.items():
        if value is None:
            continue
        key = _KEYS.get(argument, argument)
        if key not in _TAKEN[family] or key in fixed:
            allowed = [AS_ARGUMENTS.get(k) or k for k in _TAKEN[family] if k not in fixed]
            raise UserError(
                f"{argument}: editor {name!r} has no such setting; it has {', '.join(allowed)}"
            )
        settings[key] = value
    with called(AS_ARGUMENTS):
        given = dict(settings)
        if family == "zero_shot":
            given["score"] = _score(given.get("score", "dds"), presets)
        editor = _BUILDERS[family](given)
    if family == "zero_shot":
        settings.setdefault("score", "dds")
    else:
        settings.setdefault("sampler", getattr(editor, "sampler", None))
    return editor, settings


def check_guides(editor: Any, negatives: Sequence[str], argument: str = "negative_prompt") -> None:
    """Refuses negative prompts that nothing would look at.

    Raises:
        UserError: The editor does not guide: it has no scale of guidance, or one of 1, or its score
            asks without.
    """
    given = next((words for words in negatives if words), None)
    score = getattr(editor, "score", None)
    if given is not None and not getattr(score, "guided", True):
        raise UserError(
            f"{argument}: {given!r} would not be looked at, for score {type(score).__name__} has "
            "no guidance; leave it out, or give another score"
        )
    if given is not None and getattr(editor, "guidance_scale", 1) == 1:
        raise UserError(
            f"{argument}: {given!r} would not be looked at, for this editor guides by no scale "
            "but 1; leave it out, or give a larger scale of guidance"
        )


def _zero_shot(settings: dict[str, Any]) -> Editor:
    sampler = timestep_sampler(
        settings.pop("timesteps"), settings.pop("t_min"), settings.pop("t_max")
    )
    return LatentOptimization(timesteps=sampler, **settings)


def _score(score: Any, presets: Presets) -> Score:
    """A score by its name, with what the presets have for it, or the one that is given."""
    if isinstance(score, type):
        raise UserError(f"score: {score.__name__} is a class; give {score.__name__}()")
    if not isinstance(score, str):
        return score
    if score not in SCORES:
        raise UserError(f"score: {score!r} is not allowed; give one of {', '.join(SCORES)}")
    return SCORES[score](**presets.get("scores", {}).get(score, {}))


_BUILDERS = {
    "zero_shot": _zero_shot,
    "inversion": lambda settings: Inversion(**settings),
    "sdedit": lambda settings: SDEdit(**settings),
    "flowedit": lambda settings: PathDelta(**settings),
    "drfs": lambda settings: PathDelta(**settings),
    "edit_friendly": lambda settings: PathDelta(**settings),
    "inpaint": lambda settings: Inpaint(**settings),
}
