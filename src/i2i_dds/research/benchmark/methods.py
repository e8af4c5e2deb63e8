"""The methods that the benchmark compares, by name, each with the parameter that edits more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from i2i_dds.checks import as_list, check_fields, checked, integer, number, several
from i2i_dds.diffusion.timesteps import DescendingTimesteps, UniformTimesteps
from i2i_dds.editing.automask import AutoMask
from i2i_dds.editing.inpaint import Inpaint
from i2i_dds.editing.interface import Editor
from i2i_dds.editing.inversion import Inversion
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.editing.path_delta import PathDelta
from i2i_dds.editing.sdedit import SDEdit
from i2i_dds.errors import UserError
from i2i_dds.research.benchmark.method import ITERATIONS, Method
from i2i_dds.scores.cds import CDS
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.ids import IDS
from i2i_dds.scores.interface import Score
from i2i_dds.scores.lusd import LUSD
from i2i_dds.scores.pds import PDS
from i2i_dds.scores.sds import SDS
from i2i_dds.scores.sds_l2 import SDSL2
from i2i_dds.scores.ssd import SSD


@dataclass(frozen=True)
class MethodSettings:
    """The numbers that methods share.

    Attributes:
        guidance_scale: Scale of classifier-free guidance.
        lr: Step of the descents.
        iterations: Of the descents; each is a picture on the way of one run.
        iterations_main: The one in tables.
        t_min: Least timestep of the descents.
        t_max: The end of their timesteps, exclusive.
        lambda_l2: Of ``sds_l2``.
        lambda_contrastive: Of ``cds``.
        strength: How far up the samplers go, in (0, 1].
        strength_main: The one in tables.
        sampler_steps: Of the whole way; the share ``strength`` of them is taken.
        guidance_scale_src: Of the source's side of FlowEdit and its like.
        threshold: Of the masks that are found, in (0, 1).
        scores: The settings of ``pds``, ``ids``, ``ssd`` and ``lusd``, by the score's name, where
            they are not its own defaults.
    """

    guidance_scale: float = checked(number(min=0))
    lr: float = checked(number(above=0))
    iterations: Sequence[int] = checked(several(integer(min=1)))
    iterations_main: int = checked(integer(min=1))
    t_min: int = checked(integer(min=0, max=999))
    t_max: int = checked(integer(min=1, max=1000))
    lambda_l2: float = checked(number(min=0))
    lambda_contrastive: float = checked(number(min=0))
    strength: Sequence[float] = checked(several(number(above=0, max=1)))
    strength_main: float = checked(number(above=0, max=1))
    sampler_steps: int = checked(integer(min=1))
    guidance_scale_src: float = checked(number(min=0))
    threshold: float = checked(number(above=0, below=1))
    scores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("iterations", "strength"):
            values, main = tuple(as_list(getattr(self, name))), getattr(self, f"{name}_main")
            object.__setattr__(self, name, values)
            if main not in values:
                raise UserError(f"{name}_main: {main} is not allowed; give one of {list(values)}")


def methods(settings: MethodSettings) -> dict[str, Method]:
    """All of them by name; another one is another entry here."""
    s = settings
    uniform = UniformTimesteps(s.t_min, s.t_max)
    descent = LatentOptimization(
        score=DDS(),
        steps=s.iterations_main,
        lr=s.lr,
        guidance_scale=s.guidance_scale,
        timesteps=uniform,
    )
    found = AutoMask(threshold=s.threshold, guidance_scale=s.guidance_scale)

    def descends(editor: LatentOptimization) -> Method:
        return Method(editor, ITERATIONS, s.iterations, s.iterations_main)

    def samples(editor: Editor) -> Method:
        return Method(editor, "strength", s.strength, s.strength_main)

    def sdedit(sampler: str) -> SDEdit:
        return SDEdit(sampler, s.sampler_steps, s.strength_main, s.guidance_scale)

    def inversion(sampler: str) -> Inversion:
        return Inversion(sampler, s.sampler_steps, s.strength_main, s.guidance_scale)

    def path_delta(**chosen: Any) -> Method:
        editor = PathDelta(
            "fresh", s.sampler_steps, s.strength_main, s.guidance_scale, s.guidance_scale_src
        )
        return samples(replace(editor, **chosen))

    def inpaint(sampler: str) -> Method:
        return Method(Inpaint(sampler, s.sampler_steps, s.guidance_scale), masked=True)

    def scored(score: Callable[..., Score], name: str) -> LatentOptimization:
        return replace(descent, score=score(**s.scores.get(name, {})))

    dds = descends(descent)
    # Its gradients follow the progress, so that a shorter run is another run.
    lusd = Method(scored(LUSD, "lusd"), "steps", s.iterations, s.iterations_main)
    # Coarse timesteps first; a shorter run is another run.
    descending = replace(descent, timesteps=DescendingTimesteps(s.t_min, s.t_max))
    return {
        "nothing": Method(),
        "sds": descends(replace(descent, score=SDS())),
        "sds_l2": descends(replace(descent, score=SDSL2(s.lambda_l2))),
        "dds": dds,
        "dds_descending": Method(descending, "steps", s.iterations, s.iterations_main),
        "dds_mask": replace(dds, masked=True),
        "dds_auto_mask": replace(dds, automask=found),
        "cds": descends(replace(descent, score=CDS(s.lambda_contrastive))),
        "pds": descends(scored(PDS, "pds")),
        "ids": descends(scored(IDS, "ids")),
        "ssd": descends(scored(SSD, "ssd")),
        "lusd": lusd,
        "sdedit_ode": samples(sdedit("ode")),
        "sdedit_sde": samples(sdedit("sde")),
        "ddim_inversion": samples(inversion("ode")),
        "cycle_sde": samples(inversion("cycle_sde")),
        "flowedit": path_delta(),
        "drfs": path_delta(shift=1.0),
        "edit_friendly": path_delta(eta=1.0),
        "diffedit_ode": replace(samples(inversion("ode")), automask=found),
        "diffedit_sde": replace(samples(inversion("sde")), automask=found),
        "diffedit_cycle_sde": replace(samples(inversion("cycle_sde")), automask=found),
        "inpaint_ode": inpaint("ode"),
        "inpaint_sde": inpaint("sde"),
    }


def swept(
    chosen: Mapping[str, Method], parameter: str, values: Sequence[float], default: float | None
) -> dict[str, Method]:
    """The methods with another of their parameters swept.

    Args:
        chosen: By name.
        parameter: "<method>.<setting of its editor>", such as "dds.guidance_scale".
        values: Of that setting.
        default: The one in tables; None is the largest.

    Raises:
        UserError: No such method is chosen, its editor has no such setting, or the default is not
            among the values.
    """
    name, dot, setting = parameter.partition(".")
    if not dot or name not in chosen:
        raise UserError(
            f"sweep: {parameter!r} is not allowed; give <method>.<setting>, the method one of "
            f"{', '.join(chosen)}"
        )
    try:
        changed = replace(chosen[name], parameter=setting, values=tuple(values), default=default)
    except UserError as error:
        raise UserError(f"sweep.{error}") from error
    return {**chosen, name: changed}
