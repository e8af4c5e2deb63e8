from dataclasses import replace

import pytest
import torch

from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.editing.batches import EditItem, edit_items
from i2i_dds.editing.interface import EditStep, finish
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.editing.stopping import AgreementStop, agreement, early_stop
from i2i_dds.errors import UserError


def answers(stop, path):
    """The rule's answers along a path (steps, B, C, h, w), (steps, B)."""
    steps, batch = path.shape[:2]
    none = torch.zeros(batch)
    return torch.stack(
        [stop(EditStep(i, steps, z, none, none, none, torch.tensor(0))) for i, z in enumerate(path)]
    )


def walk(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).cumsum(0)


def test_agreement_of_known_paths():
    straight = torch.arange(5.0)
    there_and_back = torch.tensor([0.0, 1.0, 2.0, 1.0, 0.0])
    corner = torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 0.0], [3.0, 4.0], [3.0, 4.0]])
    still = torch.ones(5)
    path = torch.zeros(5, 4, 1, 1, 2)
    path[:, 0, 0, 0, 0], path[:, 1, 0, 0, 0], path[:, 3, 0, 0, 0] = straight, there_and_back, still
    path[:, 2, 0, 0] = corner
    assert agreement(path).tolist() == pytest.approx([1, 0, 5 / 7, 0])


def test_a_random_walk_has_agreement_of_one_over_the_root_of_its_steps():
    found = agreement(walk(26, 50, 4, 16, 16))
    # 1,024 numbers a step: the squared length is 25 x 1,024 with a standard deviation of 4 %.
    torch.testing.assert_close(found, torch.full_like(found, 1 / 5), atol=0.02, rtol=0)


def test_an_item_is_done_when_its_own_agreement_falls():
    t = torch.arange(30, dtype=torch.float64)
    path = torch.stack([t, t.clamp(max=9), (t / 2).sin()], dim=1).reshape(30, 3, 1, 1, 1)
    stop = AgreementStop(0.4, window=4)
    found = answers(stop, path)
    assert not found[:, 0].any()
    # Of steps at length 1 up to t = 9 agreement stays 1, until the last four are all at rest.
    assert found[:, 1].nonzero()[0].item() == 13
    # The sine turns at pi, but goes straight between.
    for i in range(4, 30):
        parts = (path[i - 3 : i + 1] - path[i - 4 : i])[:, 2].flatten()
        assert found[i, 2] == (parts.sum().abs() / parts.abs().sum() < 0.4)
    assert not found[:4].any()


def test_answers_do_not_depend_on_the_batch_and_one_object_serves_many():
    path, stop = walk(12, 3, 4, 2, 2), AgreementStop(0.5, window=4)
    together = answers(stop, path)
    assert together.any() and not together.all()
    for i in range(3):
        assert torch.equal(answers(stop, path[:, i : i + 1])[:, 0], together[:, i])
    assert torch.equal(answers(stop, path), together)


def drifting(teacher, inputs):
    """Straight on until an item is half of its source, and noise from there."""
    z, z_src = inputs.z_tgt, inputs.z_src
    near = (z.abs().amax((1, 2, 3)) < 0.5 * z_src.abs().amax((1, 2, 3))).reshape(-1, 1, 1, 1)
    return torch.where(near, 0.05 * inputs.eps, z_src / 10)


def test_items_are_held_where_they_stopped_whatever_their_batch(analytic, batch_of):
    editor = LatentOptimization(drifting, steps=40, lr=0.5, stop=AgreementStop(0.6, window=5))
    whole = batch_of(analytic, "0", "1", n=3)
    scale = torch.tensor([1.0, 1.0, 1e3], dtype=torch.float64).reshape(-1, 1, 1, 1)
    whole = replace(whole, z_src=whole.z_src * scale)
    together = list(editor(analytic, whole))
    active = torch.stack([done.active for done in together]).sum(0).tolist()
    assert max(active) == len(together) < 40 and min(active) > 10
    for i in range(3):
        single = replace(whole, z_src=whole.z_src[i : i + 1], generators=item_generators(0, [i]))
        alone = list(editor(analytic, single))
        assert len(alone) == active[i]
        assert torch.equal(alone[-1].z[0], together[-1].z[i])
        assert torch.equal(together[active[i] - 1].z[i], together[-1].z[i])


def test_a_matched_pair_stops_once_a_window_has_passed(tiny, batch_of):
    batch = batch_of(tiny, "a cat", "a cat", side=16)
    result = finish(LatentOptimization(steps=9, stop=AgreementStop(0.1, window=3))(tiny, batch))
    assert result.steps == 4 and torch.equal(result.z, batch.z_src)


def test_an_items_trajectory_ends_where_it_stopped(tiny):
    def stop(done):
        return torch.tensor([done.step == 1, done.step == 3])

    x = torch.rand(2, 3, 32, 32) * 2 - 1
    items = [EditItem(f"{i}", f"{i}", x[i], "a cat", "a lion") for i in range(2)]
    (edited,) = edit_items(LatentOptimization(steps=9, stop=stop), tiny, items, 0, 2)
    steps = [(point.name, point.step) for point in edited.trajectory]
    assert steps == [*((n, i) for i in (1, 2) for n in "01"), ("1", 3), ("1", 4)]


def test_settings_out_of_range_are_refused():
    for least in (0.0, 1.0, -0.5):
        with pytest.raises(UserError, match=f"least: {least} is not allowed"):
            AgreementStop(least)
    with pytest.raises(UserError, match="window: 1 is not allowed"):
        AgreementStop(0.5, window=1)


def test_early_stop_is_off_or_the_rule():
    assert early_stop(None) is None
    assert early_stop(0.3, window=7) == AgreementStop(0.3, 7)
