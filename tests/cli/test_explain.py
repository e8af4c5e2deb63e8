"""What a user mistypes, and the sentence that puts it right."""

import pytest
from omegaconf import OmegaConf

from i2i_dds.cli.explain import explain, nearest_keys

TRAIN = ("train", "task=cat2lion")
TOP = (
    "; allowed here are cache_mb, callbacks, ckpt_path, compile, data, debug, "
    "editor@zero_shot, experiment"
)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            (*TRAIN, "max_steps=3"),
            f"max_steps: no such key (did you mean 'trainer.max_steps'?){TOP}",
        ),
        ((*TRAIN, "max_step=3"), "max_step: no such key (did you mean 'trainer.max_steps'?); "),
        (
            (*TRAIN, "trainer.max_step=3"),
            "trainer.max_step: no such key (did you mean 'trainer.max_steps'?); allowed here are "
            "_target_, accelerator, ",
        ),
        (
            (*TRAIN, "optimizer.max_steps=3"),
            "optimizer.max_steps: no such key (did you mean 'trainer.max_steps'?); allowed here",
        ),
        (
            (*TRAIN, "lr=3"),
            "lr: no such key (did you mean 'optimizer.lr' or 'zero_shot.lr'?); allowed here are ",
        ),
        (
            ("edit", "editor=sdedit", "t0=0.5"),
            "t0: no such key any more; give strength=<value>",
        ),
        (
            ("edit", "automask.noises=3"),
            "automask.noises: no such key any more; give automask.num_noise=<value>",
        ),
        (
            (*TRAIN, "zero_shot.guidance=3"),
            "zero_shot.guidance: no such key any more; give zero_shot.guidance_scale=<value>",
        ),
        ((*TRAIN, "taks=cat2dog"), f"taks: no such key (did you mean 'task'?){TOP}"),
        (
            ("train", "taks=cat2dog"),
            "taks: no such key (did you mean 'task'?); give task=<choice>, ",
        ),
        ((*TRAIN, "debgu=fast"), "debgu: no such key (did you mean 'debug'?); allowed here are "),
        (
            (*TRAIN, "hydra.jbo.name=a"),
            "hydra.jbo: no such key (did you mean 'hydra.job'?); allowed",
        ),
        (
            (*TRAIN, "optimizer.lr.x=3"),
            "optimizer.lr.x: no such key (did you mean 'optimizer.lr'?); optimizer.lr is one value",
        ),
        ((*TRAIN, "foo=3"), f"foo: no such key{TOP}"),
        (
            ("train", "task=cat2lino"),
            "task: 'cat2lino' is not among its choices (did you mean 'cat2lion'?); give one of ",
        ),
        (
            ("edit", "fit=erorr"),
            "fit: 'erorr' is not allowed (did you mean 'error'?); give one of auto, resize, crop, ",
        ),
    ],
)
def test_mistyped_name_gets_the_one_that_was_meant(i2i, arguments: tuple, sentence: str) -> None:
    done = i2i(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: {sentence}")
    assert done.err.count("\n") == 1


CFG = OmegaConf.create(
    {
        "steps": 3,
        "name": "${trainer.name}",
        "trainer": {"max_steps": 3, "name": "a", "inner": {"max_steps": 4}},
        "student": {"tasks": 1, "width": 1},
        "judge": {"width": 1},
        "copy": {"width": 1},
        "task": 2,
        "teacher": {"presets": {"lr": 1}},
        "hydra": {"job": {"num": 1}},
    }
)


@pytest.mark.parametrize(
    ("typed", "here", "expected"),
    [
        ("max_steps", (), ["trainer.max_steps"]),  # the least deep
        ("judge.width", (), ["judge.width"]),
        ("jugde.width", (), ["judge.width", "student.width"]),  # the likeliest of three first
        ("max_step", (), ["trainer.max_steps"]),
        ("trainer_max_steps", (), ["trainer.max_steps"]),
        ("stpes", ("steps",), ["steps"]),
        ("stpe", (), []),  # less like it, and it would not stand there
        ("taks", ("task",), ["task"]),  # student.tasks is more like it, but elsewhere
        ("taks", (), ["student.tasks"]),
        ("lr", (), []),  # no user sets presets
        ("num", (), []),
        ("experimnt", ("experiment",), ["experiment"]),  # a group without a key
    ],
)
def test_nearest_keys(typed: str, here: tuple[str, ...], expected: list[str]) -> None:
    assert nearest_keys(typed, CFG, here) == expected


def test_a_process_whose_fellow_has_ended_says_so_in_one_sentence(monkeypatch) -> None:
    lost = RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer [::1]:3724.")
    assert explain(lost) is None
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert (explain(lost) or "").startswith("another process of this run has ended")
    assert explain(RuntimeError("shapes differ")) is None
