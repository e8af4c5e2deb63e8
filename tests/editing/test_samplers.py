from dataclasses import replace

import pytest
import torch

from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.editing.automask import AutoMask
from i2i_dds.editing.inpaint import Inpaint
from i2i_dds.editing.interface import EditBatch, finish
from i2i_dds.editing.inversion import Inversion
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.editing.path_delta import PathDelta
from i2i_dds.editing.sdedit import SDEdit
from i2i_dds.errors import UserError
from i2i_dds.scores.cds import CDS
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.ids import IDS
from i2i_dds.scores.pds import PDS
from i2i_dds.scores.sds import SDS
from i2i_dds.scores.sds_l2 import SDSL2
from i2i_dds.scores.ssd import SSD
from i2i_dds.teacher.analytic import GaussianMixtureTeacher

EDITORS = [
    Inversion("cycle_sde", 6, 0.7, 2.0),
    Inversion("ode", 6, 0.7, 2.0),
    Inversion("sde", 6, 0.7, 2.0),
    SDEdit("sde", 6, 0.7, 2.0),
    SDEdit("ode", 6, 0.7, 2.0),
    Inpaint("sde", 6, 2.0),
    Inpaint("ode", 6, 2.0),
    PathDelta("fresh", 6, 0.7, 2.0, 2.0),
    PathDelta("one", 6, 0.7, 2.0, 1.5),
    PathDelta("path", 6, 0.7, 2.0, 1.5, eta=1.0),
    PathDelta("fresh", 6, 0.7, 2.0, 1.5, eta=1.0),
    PathDelta("fresh", 6, 0.7, 2.0, 1.5, shift=1.0),
]
NAMES = [f"{type(one).__name__}-{getattr(one, 'sampler', None) or one.noise}" for one in EDITORS]
ALONE = PathDelta("fresh", 6, 0.7, 2.0, 1.5, t_free=0.4)
"""Its last steps have no source, and so no delta."""


def upper_half(n: int, side: int) -> torch.Tensor:
    mask = torch.zeros(n, 1, side, side)
    mask[:, :, : side // 2] = 1
    return mask


@pytest.mark.parametrize("editor", EDITORS, ids=NAMES)
def test_an_item_comes_out_the_same_in_every_batch(tiny, batch_of, editor):
    batch = batch_of(tiny, "a cat", "a lion", n=3, side=4, mask=upper_half(1, 4))
    alone = replace(batch, z_src=batch.z_src[1:2], generators=item_generators(0, range(3))[1:2])
    together, single = finish(editor(tiny, batch)).z, finish(editor(tiny, alone)).z
    torch.testing.assert_close(together[1:2], single, atol=1e-4, rtol=0)


@pytest.mark.parametrize("editor", [*EDITORS, ALONE], ids=[*NAMES, "alone"])
def test_outside_the_mask_the_latent_is_the_sources_to_the_bit(tiny, batch_of, editor):
    batch = batch_of(tiny, "a cat", "a lion", side=4, mask=upper_half(2, 4))
    steps = list(editor(tiny, batch))
    assert [done.step for done in steps] == list(range(steps[0].steps))
    for done in steps:
        assert torch.equal(done.z[:, :, 2:], batch.z_src[:, :, 2:])
        assert done.nonfinite == 0 and (done.distance > 0).all()
    assert not torch.equal(steps[-1].z[:, :, :2], batch.z_src[:, :, :2])


@pytest.mark.parametrize(
    "editor",
    [
        *EDITORS,
        *(LatentOptimization(score, steps=2) for score in (DDS(), SDS(), SDSL2(0.1), CDS())),
        *(LatentOptimization(score, steps=2) for score in (PDS(), IDS(), SSD())),
    ],
    ids=[*NAMES, "dds", "sds", "sds_l2", "cds", "pds", "ids", "ssd"],
)
def test_every_editor_is_led_away_from_a_negative_prompt(tiny, batch_of, editor):
    def edited(negative: str | None, target: str = "a lion") -> torch.Tensor:
        batch = batch_of(tiny, "a cat", target, side=4, mask=upper_half(2, 4))
        text_neg = None if negative is None else tiny.embed([negative])
        return finish(editor(tiny, replace(batch, text_neg=text_neg))).z

    plain = edited(None)
    assert torch.equal(edited(""), plain) and not torch.equal(edited("snow"), plain)
    if editor in (EDITORS[0], LatentOptimization(DDS(), steps=2)):  # of deltas: both sides have it
        assert torch.equal(edited("snow", "a cat"), edited(None, "a cat"))


def test_the_mask_is_found_beside_a_negative_prompt(tiny, batch_of):
    batch = batch_of(tiny, "a cat", "a lion", side=4)
    finder = AutoMask(num_noise=2)
    plain = finder(tiny, replace(batch, generators=item_generators(0, range(2))))
    led = finder(
        tiny,
        replace(batch, generators=item_generators(0, range(2)), text_neg=tiny.embed(["snow"])),
    )
    assert torch.allclose(led.strength, plain.strength, atol=1e-4)  # in the delta it cancels


def test_t0_is_the_share_of_the_steps_that_are_taken(tiny, batch_of):
    batch = batch_of(tiny, "a cat", "a lion", side=4)
    taken = list(SDEdit("sde", 10, 0.3, 1.0)(tiny, batch))
    assert [done.t[0].item() for done in taken] == [201, 101, 1]


def test_one_prompt_on_both_sides_leaves_cycle_sde_at_the_source(tiny, batch_of):
    batch = batch_of(tiny, "a cat", "a cat", side=4)
    assert torch.equal(finish(Inversion("cycle_sde", 5, 0.8, 7.5)(tiny, batch)).z, batch.z_src)
    assert not torch.equal(finish(Inversion("sde", 5, 0.8, 7.5)(tiny, batch)).z, batch.z_src)


def test_the_delta_of_a_step_is_reported(tiny, batch_of):
    batch = batch_of(tiny, "a cat", "a lion", side=4)
    assert all((done.gradient_norm > 0).all() for done in Inversion()(tiny, batch))
    assert all(done.gradient_norm.isnan().all() for done in SDEdit(steps=2)(tiny, batch))


def test_inpainting_takes_nothing_from_under_the_mask(tiny, batch_of):
    batch = batch_of(tiny, "a cat", "a lion", side=4, mask=upper_half(2, 4))
    other = batch.z_src.clone()
    other[:, :, :2] += 3
    for sampler in ("sde", "ode"):
        results = []
        for z in (batch.z_src, other):
            again = replace(batch, z_src=z, generators=item_generators(0, range(2)))
            results.append(finish(Inpaint(sampler, 4, 2.0)(tiny, again)).z)
        assert torch.equal(*results)


def test_samplers_draw_the_target_and_keep_a_component_they_share():
    """Two far components that differ in the upper half alone: the lower half is to stay."""
    source = torch.zeros(1, 4, 4, dtype=torch.float64)
    target = source.clone()
    target[:, :2] = 4
    teacher = GaussianMixtureTeacher(torch.stack([source, target]), torch.tensor([0.1, 0.1]))
    z = 0.1 * torch.randn(8, 1, 4, 4, dtype=torch.float64)
    texts = teacher.embed(["0"]), teacher.embed(["1"])
    cycle_sde, ode = Inversion("cycle_sde", 50, 0.9, 1.0), Inversion("ode", 500, 0.9, 1.0)
    for editor, tolerance in ((cycle_sde, 1e-9), (ode, 0.02)):
        batch = EditBatch(z, *texts, item_generators(0, range(8)))
        edited = finish(editor(teacher, batch)).z
        assert (edited[:, :, :2] - 4).abs().max() < 0.6
        # the source's own offsets from its mean are kept, not drawn anew
        torch.testing.assert_close(edited[:, :, 2:], z[:, :, 2:], atol=tolerance, rtol=0)


def test_the_found_mask_is_where_the_prompts_disagree():
    source = torch.zeros(1, 4, 4, dtype=torch.float64)
    target = source.clone()
    target[:, 1:3, 2] = 4
    teacher = GaussianMixtureTeacher(torch.stack([source, target]), torch.tensor([0.3, 0.3]))
    z, same = source[None].repeat(2, 1, 1, 1), teacher.embed(["0"])
    batch = EditBatch(z, same, teacher.embed(["1"]), item_generators(0, range(2)))
    found = AutoMask(guidance_scale=1.0, clip=20.0)(teacher, batch)
    assert torch.equal(found.mask, (target != 0).to(z).expand(2, 1, 4, 4))
    assert found.strength.amin() == 0 and found.strength.amax() == 1
    agreed = AutoMask()(teacher, replace(batch, text_tgt=same))
    assert not agreed.mask.any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Inversion(sampler="ddim"), "sampler: 'ddim' is not allowed; give one of cycle"),
        (lambda: SDEdit(sampler="cycle_sde"), "sampler: 'cycle_sde' is not allowed; give one of s"),
        (lambda: Inpaint(sampler="cycle_sde"), "sampler: 'cycle_sde' is not allowed"),
        (
            lambda: SDEdit(strength=0),
            "strength: 0 is not allowed; give a number of at most 1 above 0",
        ),
        (lambda: Inversion(strength=1.2), "strength: 1.2 is not allowed"),
        (lambda: Inversion(steps=0), "steps: 0 is not allowed; give a whole number of at least 1"),
        (lambda: AutoMask(threshold=1), "threshold: 1 is not allowed; give a number"),
        (lambda: AutoMask(num_noise=0), "num_noise: 0 is not allowed"),
    ],
)
def test_settings_that_make_no_run_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_inpainting_needs_a_mask(tiny, batch_of):
    with pytest.raises(UserError, match="mask: none is given; inpainting"):
        Inpaint()(tiny, batch_of(tiny, "", "a lion", side=4))
