from dataclasses import replace
from functools import partial

import pytest
import torch

from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.diffusion.timesteps import DescendingTimesteps
from i2i_dds.editing.interface import finish
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.errors import UserError
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.ids import IDS
from i2i_dds.scores.lusd import LUSD
from i2i_dds.scores.pds import PDS
from i2i_dds.scores.sds import SDS
from i2i_dds.scores.ssd import SSD

SIDE = 16


def pull(teacher, inputs):
    """A score without a teacher: halves z at lr 0.5."""
    return inputs.z_tgt.clone()


def broken(teacher, inputs):
    """Another that halves z, three of whose entries are broken."""
    grad = inputs.z_tgt.clone()
    grad[0, 0, 0, :3] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    return grad


def test_matched_prompts_leave_the_latent_alone_to_the_bit(tiny, batch_of):
    batch = batch_of(tiny, "a cat", "a cat", side=SIDE)
    for done in LatentOptimization(steps=3)(tiny, batch):
        assert torch.equal(done.z, batch.z_src)
        assert not done.gradient_norm.any() and not done.distance.any()


def test_other_prompts_do_not(tiny, batch_of):
    batch = batch_of(tiny, "a cat", "a lion", side=SIDE)
    assert finish(LatentOptimization(steps=3)(tiny, batch)).z.ne(batch.z_src).any((1, 2, 3)).all()


def test_dds_moves_towards_the_target_on_the_exact_teacher(analytic, batch_of):
    batch = batch_of(analytic, "0", "1")
    batch = replace(batch, z_src=analytic.means[:1].repeat(2, 1, 1, 1))
    z = finish(LatentOptimization(steps=200, lr=0.05, guidance_scale=1.0)(analytic, batch)).z
    before = (batch.z_src - analytic.means[1]).flatten(1).norm(dim=1)
    assert ((z - analytic.means[1]).flatten(1).norm(dim=1) < 0.1 * before).all()


@pytest.mark.parametrize(
    "score",
    [DDS(), SDS(), PDS(), IDS(), SSD(), LUSD(threshold=0.0)],
    ids=lambda s: type(s).__name__,
)
def test_an_item_does_not_depend_on_its_batch(tiny, batch_of, score):
    editor, whole = (
        LatentOptimization(score, steps=4),
        batch_of(tiny, "a cat", "a lion", n=3, side=SIDE),
    )
    together = list(editor(tiny, whole))
    for i in range(3):
        single = replace(whole, z_src=whole.z_src[i : i + 1], generators=item_generators(0, [i]))
        alone = list(editor(tiny, single))
        assert [done.t.item() for done in alone] == [done.t[i].item() for done in together]
        assert torch.allclose(alone[-1].z[0], together[-1].z[i], atol=1e-5)


@pytest.mark.parametrize("optimizer", [None, torch.optim.Adam])
@pytest.mark.parametrize("score", [DDS(), SDS()], ids=["dds", "sds"])
def test_outside_the_mask_nothing_changes_to_the_bit(tiny, batch_of, score, optimizer):
    mask = torch.zeros(1, 1, SIDE, SIDE)
    mask[..., :5] = 1.0
    mask[..., 5] = 0.3
    batch = batch_of(tiny, "a cat", "a lion", side=SIDE, mask=mask)
    z = finish(LatentOptimization(score, steps=3, optimizer=optimizer)(tiny, batch)).z
    assert torch.equal(z[..., 6:], batch.z_src[..., 6:])
    assert z[..., :6].ne(batch.z_src[..., :6]).all()


def test_weight_decay_does_not_reach_outside_the_mask(analytic, batch_of):
    mask = torch.zeros(1, 1, 3, 3)
    batch = batch_of(analytic, "0", "1", mask=mask)
    decaying = partial(torch.optim.SGD, weight_decay=0.1)
    assert torch.equal(
        finish(LatentOptimization(steps=2, optimizer=decaying)(analytic, batch)).z, batch.z_src
    )


def test_lr_is_the_step_itself_and_sgd_is_plain_descent(analytic, batch_of):
    batch = batch_of(analytic, "0", "1")
    plain = finish(LatentOptimization(pull, steps=3, lr=0.5)(analytic, batch)).z
    assert torch.equal(plain, batch.z_src / 8)
    sgd = finish(
        LatentOptimization(pull, steps=3, lr=0.5, optimizer=torch.optim.SGD)(analytic, batch)
    ).z
    assert torch.equal(sgd, plain)
    heavy = partial(torch.optim.SGD, momentum=0.9)
    momentum = finish(LatentOptimization(pull, steps=2, lr=0.5, optimizer=heavy)(analytic, batch)).z
    # z1 = z/2; velocity 0.9 z + z/2 = 1.4 z; z2 = z/2 - 0.7 z
    torch.testing.assert_close(momentum, -0.2 * batch.z_src)


def test_progress_is_told_step_by_step(analytic, batch_of):
    batch = batch_of(analytic, "0", "1")
    sampler = DescendingTimesteps(100, 301)
    steps = list(LatentOptimization(pull, steps=3, lr=0.5, timesteps=sampler)(analytic, batch))
    assert [(done.step, done.steps) for done in steps] == [(0, 3), (1, 3), (2, 3)]
    assert [done.t.tolist() for done in steps] == [[300] * 2, [200] * 2, [100] * 2]
    norm = batch.z_src.flatten(1).norm(dim=1)
    torch.testing.assert_close(steps[1].gradient_norm, norm / 2)
    torch.testing.assert_close(steps[1].distance, norm * 0.75)
    result = finish(steps)
    assert result.steps == 3 and result.nonfinite == 0 and torch.equal(result.z, steps[-1].z)


def test_broken_entries_are_counted_at_every_step_and_stay(analytic, batch_of):
    batch = batch_of(analytic, "0", "1")
    result = finish(LatentOptimization(broken, steps=3, lr=0.5)(analytic, batch))
    assert result.nonfinite == 9
    expected = batch.z_src / 8
    expected[0, 0, 0, :3] = batch.z_src[0, 0, 0, :3]
    assert torch.equal(result.z, expected)


def test_the_mask_is_applied_once(analytic, batch_of):
    mask = torch.zeros(2, 1, 3, 3)
    mask[..., 0], mask[..., 1] = 1.0, 0.5
    batch = batch_of(analytic, "0", "1", mask=mask)
    (done,) = LatentOptimization(pull, steps=1, lr=0.5)(analytic, batch)
    expected = batch.z_src.clone()
    expected[..., 0] *= 1 - 0.5
    expected[..., 1] *= 1 - 0.5 * 0.5
    assert torch.equal(done.z, expected)


def test_the_score_is_given_both_sides_by_their_names(analytic, batch_of):
    batch, asked = batch_of(analytic, "0", "1"), []

    def score(teacher, inputs):
        asked.append(inputs)
        return pull(teacher, inputs)

    steps = list(LatentOptimization(score, steps=2, lr=0.5, guidance_scale=4.0)(analytic, batch))
    for inputs, z, done in zip(asked, (batch.z_src, steps[0].z), steps, strict=True):
        assert torch.equal(inputs.z_tgt, z) and torch.equal(inputs.z_src, batch.z_src)
        assert inputs.text_tgt.equal(batch.text_tgt).all()
        assert inputs.text_src.equal(batch.text_src).all()
        assert torch.equal(inputs.t, done.t) and inputs.guidance_scale == 4.0
        assert inputs.eps.shape == z.shape


def test_the_score_is_told_where_the_descent_stands_and_may_remember(analytic, batch_of):
    batch, progress = batch_of(analytic, "0", "1"), []

    def score(teacher, inputs):
        seen = inputs.descent.memory.setdefault("seen", torch.zeros(2))
        assert seen.eq(len(progress)).all()
        inputs.descent.memory["seen"] = seen + 1
        progress.append(inputs.descent.progress)
        return pull(teacher, inputs)

    editor = LatentOptimization(score, steps=5, lr=0.5)
    finish(editor(analytic, batch))
    assert progress == [0.0, 0.25, 0.5, 0.75, 1.0]
    progress.clear()  # another run remembers nothing
    finish(replace(editor, steps=1)(analytic, batch))
    assert progress == [0.0]


def test_stop_holds_the_items_that_are_done_and_ends_with_the_last(analytic, batch_of):
    batch = batch_of(analytic, "0", "1")
    asked = []

    def stop(done):
        asked.append(done.step)
        return torch.tensor([True, done.step == 1])

    z = finish(LatentOptimization(pull, steps=9, lr=0.5, stop=stop)(analytic, batch)).z
    assert asked == [0, 1]
    assert torch.equal(z, batch.z_src / torch.tensor([2.0, 4.0]).reshape(2, 1, 1, 1))
    once = LatentOptimization(pull, steps=9, stop=lambda done: True)
    assert finish(once(analytic, batch)).steps == 1


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("optimizer", [None, torch.optim.SGD])
def test_it_runs_inside_lightnings_validation(tiny, batch_of, mode, optimizer):
    batch = batch_of(tiny, "a cat", "a lion", side=SIDE)
    expected = finish(LatentOptimization(steps=2)(tiny, batch)).z
    assert not expected.requires_grad
    with mode():
        again = batch_of(tiny, "a cat", "a lion", side=SIDE)
        z = finish(LatentOptimization(steps=2, optimizer=optimizer)(tiny, again)).z
    assert torch.allclose(z, expected, atol=1e-6)


def test_no_steps_are_refused():
    with pytest.raises(UserError, match="steps: -1 is not allowed"):
        LatentOptimization(steps=-1)
