import pytest
import torch

from i2i_dds.editing.batches import EditItem, edit_items, latent_mask
from i2i_dds.editing.latent_optimization import LatentOptimization


def items(sizes=((32, 32), (32, 40), (32, 32)), **changes):
    generator = torch.Generator().manual_seed(0)
    return [
        EditItem(
            f"picture{i}", f"{i}.png", torch.rand(3, *size, generator=generator) * 2 - 1,
            "a cat", "a lion", **changes,
        )
        for i, size in enumerate(sizes)
    ]  # fmt: skip


def test_every_size_is_edited_once_and_batches_do_not_matter(tiny):
    alone = {}
    for edited in edit_items(LatentOptimization(steps=2), tiny, items(), seed=0, batch_size=1):
        (item,) = edited.items
        alone[item.name] = edited.x[0]
    together = list(edit_items(LatentOptimization(steps=2), tiny, items(), seed=0, batch_size=8))
    assert [len(edited.items) for edited in together] == [2, 1]
    for edited in together:
        assert edited.seconds > 0 and edited.nonfinite == 0
        for item, x in zip(edited.items, edited.x, strict=True):
            assert x.shape == item.x.shape
            torch.testing.assert_close(x, alone.pop(item.name), atol=1e-4, rtol=0)
    assert not alone


def test_the_key_seeds_the_noise_and_the_name_does_not(tiny):
    first, *_ = items()
    same = EditItem("other", first.key, first.x, first.source, first.target)
    another = EditItem("third", "9.png", first.x, first.source, first.target)
    (edited,) = edit_items(LatentOptimization(steps=1), tiny, [first, same, another], 0, 3)
    t = [point.t for point in edited.trajectory]
    assert t[0] == t[1] != t[2]
    torch.testing.assert_close(edited.x[0], edited.x[1], atol=1e-5, rtol=0)
    assert not torch.allclose(edited.x[0], edited.x[2], atol=1e-3)
    (reseeded,) = edit_items(LatentOptimization(steps=1), tiny, [first], 1, 3)
    assert reseeded.trajectory[0].t != t[0]


def test_trajectory_has_a_point_for_each_item_and_step(tiny):
    seen = []
    run = edit_items(
        LatentOptimization(steps=3), tiny, items(((32, 32),) * 2), 0, 2, on_step=seen.append
    )
    (edited,) = run
    places = [(point.name, point.step) for point in edited.trajectory]
    assert places == [(f"picture{i}", step) for step in (1, 2, 3) for i in (0, 1)]
    assert [done.step for done in seen] == [0, 1, 2]
    last = edited.trajectory[-1]
    assert last.distance == pytest.approx(seen[-1].distance[1].item())
    assert last.gradient_norm == pytest.approx(seen[-1].gradient_norm[1].item())


def test_frames_begin_with_the_reconstruction_and_end_with_the_edit(tiny):
    (edited,) = edit_items(LatentOptimization(steps=5), tiny, items(((32, 32),)), 0, 1, frames=2)
    assert len(edited.frames) == 3
    recon = tiny.decode(tiny.encode(edited.items[0].x[None]))
    assert torch.equal(edited.frames[0], recon) and torch.equal(edited.frames[-1], edited.x)
    (edited,) = edit_items(LatentOptimization(steps=2), tiny, items(((32, 32),)), 0, 1, frames=24)
    assert len(edited.frames) == 3


def test_masks_are_shares_of_a_cell():
    mask = torch.zeros(1, 8, 8)
    mask[:, :4, :6] = 1
    masked, free = items(((8, 8),) * 2, mask=mask)
    free = EditItem(free.name, free.key, free.x, "", "")
    found = latent_mask([masked, free], 4)
    assert found is not None
    expected = torch.tensor([[1.0, 0.5], [0.0, 0.0]])
    assert torch.equal(found, torch.stack([expected, torch.ones(2, 2)])[:, None])
    assert latent_mask([free], 4) is None
