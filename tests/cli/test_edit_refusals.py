"""Mistakes at `i2i edit` end in one sentence, and nothing is left of the run."""

import errno
from pathlib import Path

import pytest
from PIL import Image

IMAGE = ("image=photos", "prompt.target=a lion")


@pytest.fixture
def run(edit):
    return edit


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("image=none.png", IMAGE[1]), "image: 'none.png' does not exist; give"),
        (("image=broken.png", IMAGE[1]), "image: 'broken.png' cannot be read as a picture; give"),
        (("image=empty", IMAGE[1]), "image: 'empty' holds no picture"),
        (("source=image",), "image: none is given; give a picture file"),
        (
            ("image=odd.png", IMAGE[1], "fit=error"),
            "size: the picture is 45x38, wanted is 44x40 (multiples of",
        ),
        ((*IMAGE, "size=33"), "size: 33 is not allowed; give positive multiples of 4"),
        (
            (*IMAGE, "fit=stretch"),
            "fit: 'stretch' is not allowed; give one of auto, resize, crop, error",
        ),
        (("image=photos",), "prompt.target: none is given; give a text"),
        (("image=photos", "prompt.target="), "prompt.target: '' is not allowed; give a text that"),
        (("image=photos", "prompt.target=[a lion,'']"), "prompt.target: ['a lion', ''] is not"),
        (("prompt.target=a lion",), "prompt.target: 'a lion' goes with image=<picture>"),
        (("source=critters", "image=photos"), "image: 'photos' goes with source=image"),
        ((*IMAGE, "prompt.source=[a,b,c]"), "prompt.source: 3 are given for 2 pictures; give one"),
        ((*IMAGE, "mask=odd.png"), "mask: 'odd.png' is 45x38 but its picture is 32x32; give"),
        ((*IMAGE, "mask=none.png"), "mask: 'none.png' does not exist; give"),
        ((*IMAGE, "mask=scene"), "mask: 'scene' is for source=critters"),
        (("mask=odd.png",), "mask: 'odd.png' goes with image=<picture>"),
        (("size=30",), "size: 30 is not allowed; give one side, a multiple of 4"),
        (
            ("task=cat2cow",),
            "task: 'cat2cow' is not among its choices (did you mean 'cat2dog'?); give",
        ),
        (("teacher=sd3",), "teacher: 'sd3' is not among its choices (did you mean 'sd"),
        (
            ("score=sdss",),
            "score: 'sdss' is not among its choices (did you mean 'sds'?); give one of",
        ),
        (
            ("score=sds_l2", "score.lambda_l2=-1"),
            "score.lambda_l2: -1 is not allowed; give a numb",
        ),
        (
            ("score=sds_l2", "score.lambda_l2=much"),
            "score.lambda_l2: 'much' is not allowed; give a",
        ),
        (
            ("score=cds", "score.contrast=0.1"),
            "score.contrast: no such key any more; give score.lambda_contrastive=<number>",
        ),
        (
            ("score=cds", "score.lambda_contrastive=-1"),
            "score.lambda_contrastive: -1 is not allowed; give a number of",
        ),
        (("score=pds", "score.stride=0"), "score.stride: 0 is not allowed; give a whole number of"),
        (("score=ids", "score.iterations=-1"), "score.iterations: -1 is not allowed; give a whole"),
        (("score=lusd", "score.lambda_l2=2"), "score.lambda_l2: 2 is not allowed; give a number"),
        (
            (*IMAGE, "score=lusd", "prompt.negative=snow"),
            "prompt.negative: 'snow' would not be looked at, for score LUSD has no guidance; leave",
        ),
        (("score=cds", "score.patches=1"), "score.patches: 1 is not allowed; give a whole number"),
        (("score=cds", "score.temperature=0"), "score.temperature: 0 is not allowed; give a"),
        (("score=cds", "score.blocks=down"), "score.blocks: 'down' is not allowed; give one of"),
        (("timesteps=random",), "timesteps: 'random' is not among its choices; give one of desc"),
        (("timesteps=stratified", "timesteps.strata=0"), "timesteps.strata: 0 is not allowed;"),
        (("early_stop=1",), "early_stop: 1 is not allowed; give a number above 0 and below 1, or"),
        (("early_stop=never",), "early_stop: 'never' is not allowed; give a number above 0 and"),
        (("editor.stop.window=1",), "editor.stop.window: 1 is not allowed; give a whole number"),
        (("editor=sdedit", "early_stop=0.3"), "early_stop: no such key; allowed here are"),
        (("stpes=3",), "stpes: no such key (did you mean 'steps'?); allowed here are"),
        (
            ("editor=ddim_inversion", "sampler=sde"),
            "sampler: 'sde' is not what editor=ddim_inversion is; leave it out, or give editor=inv",
        ),
        (
            ("editor=flowedit", "eta=1"),
            "eta: 1 is not what editor=flowedit is; leave it out, or give editor=path_delta",
        ),
        (
            (*IMAGE, "prompt.negative=snow", "guidance_scale=1"),
            "prompt.negative: 'snow' would not be looked at, for this editor guides by no scale",
        ),
        (("prompt.negative=[a,b]",), "prompt.negative: ['a', 'b'] is a list, which goes with im"),
        ((*IMAGE, "prompt.negative=[a,b,c]"), "prompt.negative: 3 are given for 2 pictures; give"),
        (
            (*IMAGE, "teacher.revision=main"),
            "teacher.revision: 'main' goes with a hub id, and 'poc",
        ),
        ((*IMAGE, "teacher.variant=fp8"), "teacher.path: '"),
        (("editor=sdedit", "lr=0.1"), "lr: no such key; allowed here are"),
        (("editor=sdedit", "strength=1.5"), "strength: 1.5 is not allowed; give a number of at"),
        (("editor=sdedit", "sampler=cycle_sde"), "sampler: 'cycle_sde' is not allowed; give one"),
        (
            ("editor=sdeedit",),
            "editor: 'sdeedit' is not among its choices (did you mean 'sdedit'?);",
        ),
        (("editor=inpaint",), "mask: none is given; inpainting fills the white part of one"),
        (("mask=auto", "automask.threshold=1.5"), "automask.threshold: 1.5 is not allowed; give"),
        (("automask.threshold=1",), "automask.threshold: 1 is not allowed; give a number above 0"),
        (("automask.threshold=2",), "automask.threshold: 2 is not allowed; give a number"),
        (("steps=0",), "steps: 0 is not allowed; give a whole number of at least 1"),
        (("steps=true",), "steps: True is not allowed; give a whole number of at least 1"),
        (
            ("guidance_scale=nan",),
            "guidance_scale: nan is not allowed; give a number of at least 0",
        ),
        (("t_min=-1",), "t_min: -1 is not allowed; give a whole number of at least 0"),
        (("t_max=1001",), "t_max: 1001 is not allowed; give a whole number from 1 to 1000"),
        (("steps=-3",), "steps: -3 is not allowed; give a whole number of at least 1"),
        (("steps=many",), "steps: 'many' is not allowed; give a whole number of at least 1"),
        (("lr=0",), "lr: 0 is not allowed; give a number above 0"),
        (("t_min=500", "t_max=400"), "t_max: 400 is not allowed; give more than t_min, 500"),
        (("batch_size=0",), "batch_size: 0 is not allowed; give"),
        (("split=dev",), "split: 'dev' is not allowed; give one of train, val, test"),
        (("judge=nobody",), "judge: 'nobody' holds no judge; give"),
        (("teacher.path=/nowhere",), "teacher.path: '/nowhere'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_end_in_one_sentence(run, tmp_path: Path, arguments, message: str) -> None:
    Image.new("RGB", (45, 38), "red").save(tmp_path / "odd.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "photos/cat0.png").read_bytes()[:300])
    (tmp_path / "empty").mkdir()
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith(f"error: {message}")
    assert not list(tmp_path.glob("outputs/edit/*"))


@pytest.mark.parametrize("name", ["edited", "comparison", "result"])
def test_a_full_disk_leaves_nothing(run, tmp_path: Path, monkeypatch, name: str) -> None:
    import i2i_dds.runs as runs

    replace = runs.os.replace

    def full(source, target):
        if f"/{name}" in str(target) and ".partial-" in str(source):
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        replace(source, target)

    monkeypatch.setattr(runs.os, "replace", full)
    done = run(*IMAGE)
    assert (done.code, done.out) == (2, "")
    assert "no space is left on its disk; give a folder with room" in done.sentence
    assert not list(tmp_path.glob("outputs/edit/*"))


def test_our_own_mistake_leaves_nothing_either(run, tmp_path: Path, monkeypatch) -> None:
    def broken(*_, **__):
        raise RuntimeError("ours")

    monkeypatch.setattr("i2i_dds.pipelines.edit_summary.grid", broken)
    with pytest.raises(RuntimeError, match="ours"):
        run(*IMAGE)
    assert not list(tmp_path.glob("outputs/edit/*"))
