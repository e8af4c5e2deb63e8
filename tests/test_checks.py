from dataclasses import dataclass

import pytest

from i2i_dds.checks import (
    Rule,
    called,
    check_fields,
    checked,
    choice,
    flag,
    integer,
    number,
    optional,
    require,
    several,
    text,
)
from i2i_dds.diffusion.timesteps import (
    DescendingTimesteps,
    LowVarianceTimesteps,
    StratifiedTimesteps,
    UniformTimesteps,
)
from i2i_dds.editing.automask import AutoMask
from i2i_dds.editing.drag import Drag
from i2i_dds.editing.inpaint import Inpaint
from i2i_dds.editing.inversion import Inversion
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.editing.lora import LoraSettings
from i2i_dds.editing.lora_teacher import CosineScale
from i2i_dds.editing.sdedit import SDEdit
from i2i_dds.editing.stopping import AgreementStop
from i2i_dds.errors import UserError
from i2i_dds.scores.cds import CDS
from i2i_dds.scores.ids import IDS
from i2i_dds.scores.lusd import LUSD
from i2i_dds.scores.pds import PDS
from i2i_dds.scores.sds_l2 import SDSL2
from i2i_dds.scores.ssd import SSD
from i2i_dds.training.schedules import ScalarSchedule

RULES: list[tuple[Rule, list, list]] = [
    (integer(min=1), [1, 7], [0, -1, 1.0, True, "1", None]),
    (integer(min=1, max=3), [1, 3], [4]),
    (number(above=0), [0.1, 2], [0, -1.0, float("nan"), float("inf"), "0.1", False, 10**400]),
    (number(min=0, max=1), [0, 0.5, 1], [1.1, -0.1]),
    (number(above=0, below=1), [0.01, 0.99], [0, 1, -0.1, 1.1]),
    (flag(), [True, False], [0, 1, "true"]),
    (text(), ["a"], ["", "  ", None, 3]),
    (text(empty=True), ["", "a"], [None]),
    (choice("resize", "crop"), ["crop"], ["Crop", None]),
    (choice(0, 1), [0], [False]),
    (optional(integer(min=1)), [None, 2], [0]),
    (several(text()), ["a", ["a", "b"]], [[], ["a", ""], 3]),
]


@pytest.mark.parametrize(("rule", "good", "bad"), RULES, ids=[rule.allowed for rule, *_ in RULES])
def test_rule_accepts_the_good_and_refuses_the_bad(rule: Rule, good: list, bad: list) -> None:
    for value in good:
        require("a", value, rule)
    for value in bad:
        with pytest.raises(UserError, match=r"^a: .* is not allowed.*; give "):
            require("a", value, rule)


def test_sentence_names_argument_value_and_range() -> None:
    with pytest.raises(UserError) as caught:
        require("steps", -3, integer(min=1))
    assert str(caught.value) == "steps: -3 is not allowed; give a whole number of at least 1"


@pytest.mark.parametrize("wrap", [lambda rule: rule, optional, several])
def test_mistyped_choice_names_the_nearest(wrap) -> None:
    rule = wrap(choice("resize", "crop", 3))
    with pytest.raises(UserError, match=r"^fit: 'Corp' is not allowed \(did you mean 'crop'\?\); "):
        require("fit", "Corp", rule)
    for value in ("x", 4):
        with pytest.raises(UserError, match="is not allowed; give one of resize, crop, 3"):
            require("fit", value, rule)


@dataclass(frozen=True)
class Settings:
    n: int = checked(integer(min=1))
    lr: float = checked(number(above=0), default=0.1)
    free: str = "anything"

    def __post_init__(self) -> None:
        check_fields(self)


def test_fields_are_checked_as_they_are_declared() -> None:
    assert Settings(2).lr == 0.1
    for wrong, name in ((lambda: Settings(0, -1), "n"), (lambda: Settings(1, -1), "lr")):
        with pytest.raises(UserError, match=f"^{name}: "):
            wrong()


def test_a_refusal_names_what_the_caller_calls_it() -> None:
    with pytest.raises(UserError, match="^count: 0 is not allowed"), called({"n": "count"}):
        Settings(0)
    with pytest.raises(UserError, match="^lr: -1 is not allowed"), called({"n": "count"}):
        Settings(1, -1)
    with pytest.raises(UserError, match="^no argument at all$"), called({"n": "count"}):
        raise UserError("no argument at all")


NUMBERS = {
    AutoMask: {"threshold", "num_noise", "t", "guidance_scale", "clip"},
    Drag: {
        "steps",
        "strength",
        "radius",
        "alpha",
        "beta",
        "drag_step",
        "guidance_scale",
        "guidance_scale_end",
    },
    Inpaint: {"steps", "guidance_scale"},
    Inversion: {"steps", "strength", "guidance_scale", "guidance_scale_up"},
    SDEdit: {"steps", "strength", "guidance_scale"},
    LatentOptimization: {"steps", "lr", "guidance_scale"},
    LoraSettings: {"rank", "steps", "lr", "batch_size", "alpha", "seed"},
    CosineScale: {"high", "low", "t_end"},
    CDS: {"lambda_contrastive", "patches", "temperature"},
    SDSL2: {"lambda_l2"},
    PDS: {"stride", "scale"},
    IDS: {"iterations", "lambda_fpr"},
    SSD: {"lambda_trajectory", "lambda_enhancement", "lambda_identity"},
    LUSD: {"lambda_l2", "std_start", "std_end", "speed", "threshold", "momentum"},
    UniformTimesteps: {"t_min", "t_max"},
    DescendingTimesteps: {"t_min", "t_max"},
    LowVarianceTimesteps: {"t_min", "t_max"},
    StratifiedTimesteps: {"t_min", "t_max", "strata"},
    AgreementStop: {"least", "window"},
    ScalarSchedule: {"start", "end", "fraction"},
}
NEEDED = {
    SDSL2: {"lambda_l2": 0.1},
    AgreementStop: {"least": 0.5},
    ScalarSchedule: {"start": 0.0, "end": 1.0},
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind, names in NUMBERS.items() for name in sorted(names)],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_numbers_of_settings_are_finite_numbers_in_their_range(kind: type, name: str) -> None:
    given = NEEDED.get(kind, {})
    kind(**given)
    for value in (True, float("nan"), float("inf"), "1", -1):
        with pytest.raises(UserError, match=f"^{name}: .* is not allowed; give "):
            kind(**{**given, name: value})
