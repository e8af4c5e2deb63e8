import pytest
from hydra.errors import InstantiationException
from omegaconf import OmegaConf

from i2i_dds.cli.keys import build, typed_key, typed_keys
from i2i_dds.errors import UserError

SDSL2, SDEDIT = "i2i_dds.scores.sds_l2.SDSL2", "i2i_dds.editing.sdedit.SDEdit"
CONFIG = {
    "steps": "${teacher.presets.sdedit.steps}",
    "far": 0.5,
    "strength": "${far}",
    "score": {"_target_": SDSL2, "lambda_l2": 0.1},
    "editor": {
        "_target_": SDEDIT,
        "sampler": "sde",
        "steps": "${..steps}",
        "strength": "${strength}",
        "guidance_scale": "${tenth:${guidance_scale}}",
    },
    "guidance_scale": 3.0,
    "zero_shot": {
        "_target_": "i2i_dds.editing.latent_optimization.LatentOptimization",
        "score": "${..score}",
        "lr": "${teacher.presets.lr}",
    },
    "callbacks": {"shown": {"editor": "${zero_shot}"}},
    "teacher": {"presets": {"sdedit": {"steps": 50}, "lr": 0.1}},
}


@pytest.mark.parametrize(
    ("key", "typed"),
    [
        ("editor.sampler", "editor.sampler"),  # its own value
        ("editor.steps", "steps"),  # which is a preset, and no key that a user types
        ("editor.strength", "far"),  # a chain
        ("editor.guidance_scale", "editor.guidance_scale"),  # not another's value, but made of it
        ("zero_shot.lr", "zero_shot.lr"),
        ("zero_shot.score.lambda_l2", "score.lambda_l2"),  # a whole node is another's
        ("callbacks.shown.editor.score.lambda_l2", "score.lambda_l2"),
        ("callbacks.shown.editor.lr", "zero_shot.lr"),
        ("editor.color", None),
        ("zero_shot.score.lambda_l2.deeper", None),
    ],
)
def test_typed_key_follows_references(key: str, typed: str | None) -> None:
    assert typed_key(OmegaConf.create(CONFIG), key) == typed


@pytest.mark.parametrize(
    ("changed", "node", "message"),
    [
        ("steps=0", "editor", "steps: 0 is not allowed; give a whole number of at least 1"),
        ("far=2", "editor", "far: 2 is not allowed; give"),
        ("editor.sampler=x", "editor", "editor.sampler: 'x' is not allowed; give one of sde, ode"),
        ("score.lambda_l2=-1", "score", "score.lambda_l2: -1 is not allowed; give"),
        ("score.lambda_l2=-1", "zero_shot", "score.lambda_l2: -1 is not allowed; give"),
        ("zero_shot.lr=0", "callbacks.shown.editor", "zero_shot.lr: 0 is not allowed; give"),
    ],
)
def test_a_refused_argument_is_named_by_its_key(changed: str, node: str, message: str) -> None:
    cfg = OmegaConf.create({**CONFIG, "editor": {**CONFIG["editor"], "guidance_scale": 1.0}})
    cfg.merge_with_dotlist([changed])
    before = OmegaConf.to_container(cfg, resolve=False)
    with pytest.raises(UserError) as caught:
        build(cfg, node)
    assert str(caught.value).startswith(message)
    assert OmegaConf.to_container(cfg, resolve=False) == before


def test_other_mistakes_stay_what_they_are() -> None:
    cfg = OmegaConf.create({"editor": {"_target_": SDEDIT, "color": "red"}})
    with pytest.raises(InstantiationException, match="unexpected keyword argument 'color'"):
        build(cfg, "editor")
    with pytest.raises(UserError, match="^mask: none is given$"), typed_keys(cfg, "editor"):
        raise UserError("mask: none is given")


def test_later_refusals_are_named_too() -> None:
    cfg = OmegaConf.create({"rank": 4, "lora": {"lr": 1.0, "rank": "${rank}"}})
    for argument, key in (("lr", "lora.lr"), ("rank", "rank")):
        with pytest.raises(UserError, match=f"^{key}: too much$"), typed_keys(cfg, "lora"):
            raise UserError(f"{argument}: too much")
