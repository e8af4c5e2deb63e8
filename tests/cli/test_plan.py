"""``i2i plan``, from the command to plan.json."""

import json

import pytest

from i2i_dds.cli.plan import main

SMALL = [
    *("task=cat2lion", "data.size=32", "data.batch_size=1"),
    *("student.unet.block_out_channels=[8,8,16]", "student.unet.norm_num_groups=8"),
    "student.unet.attention_head_dim=1",
]


def test_a_training_that_fits(typed) -> None:
    done = typed(main, *SMALL, "gpu=24GB")
    plan = json.loads((done.folder / "plan.json").read_text())
    (way,) = plan["ways"]
    assert plan["fits"] and way["fits"] and way["typed"] == []
    assert way["bytes"]["optimizer"] == pytest.approx(2 * way["bytes"]["student"], rel=0.01)
    assert "it fits in 24GB as it was typed" in done.err and "needed" in done.err


def test_a_fused_optimizer_keeps_what_another_does(typed) -> None:
    def bytes_of(*arguments: str) -> dict[str, int]:
        done = typed(main, *SMALL, "gpu=24GB", *arguments)
        return json.loads((done.folder / "plan.json").read_text())["ways"][0]["bytes"]

    assert bytes_of("optimizer.fused=true", "paths.suffix=-f") == bytes_of("paths.suffix=-p")


def test_what_makes_it_fit_is_said(typed) -> None:
    done = typed(main, *SMALL, "gpu=1GB")
    plan = json.loads((done.folder / "plan.json").read_text())
    assert not plan["fits"] and plan["ways"][0]["typed"] == []
    assert plan["ways"][-1]["typed"][-1] == "callbacks.ema=null"
    assert done.sentence.startswith("it does not fit in 1GB by these settings; give a smaller")


def test_what_is_shared_out_takes_less_of_each(typed) -> None:
    def bytes_of(*arguments: str) -> dict[str, int]:
        done = typed(main, *SMALL, "gpu=80GB", "callbacks.ema=null", *arguments)
        return json.loads((done.folder / "plan.json").read_text())["ways"][0]["bytes"]

    whole = bytes_of("trainer=ddp", "paths.suffix=-a")
    shared = bytes_of("trainer=fsdp", "trainer.devices=4", "trainer.num_nodes=2", "paths.suffix=-b")
    for name in ("student", "gradients", "optimizer"):
        assert whole[name] / 8 <= shared[name] < whole[name] / 7, name
    assert 0 < shared["average"] < whole["average"]  # some blocks, and buckets of all
    for name in ("teacher", "encoding", "step"):
        assert shared[name] == whole[name], name


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("gpu=much",), "error: gpu: 'much' is not allowed; give a device's memory, such as 24GB"),
        (("trainer=fsdp",), "error: callbacks.ema: shared weights are not averaged; give"),
        (
            ("trainer=fsdp", "callbacks.ema=null"),
            "error: trainer.devices: -1 depends on the machine",
        ),
        (
            ("teacher=flux", "teacher.path=nobody/flux"),
            "error: teacher.path: the configs of 'nobody/flux' are not here",
        ),
        (("max_steps=3",), "error: max_steps: no such key (did you mean 'trainer.max_steps'?); "),
    ],
)
def test_mistakes_are_one_sentence(typed, arguments: tuple[str, ...], sentence: str) -> None:
    done = typed(main, *SMALL, *arguments)
    assert done.code == 2 and done.sentence.startswith(sentence), done.err
