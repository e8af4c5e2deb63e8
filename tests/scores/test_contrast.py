import math

import pytest
import torch

from i2i_dds.diffusion.randomness import item_generators, randn
from i2i_dds.scores.contrast import at, generators_of, patch_nce, pick


def test_the_loss_is_a_cross_entropy_written_by_hand():
    queries = torch.tensor([[[2.0, 0.0], [3.0, 4.0]]], dtype=torch.float64)
    keys = torch.tensor([[[1.0, 0.0], [0.0, 5.0]]], dtype=torch.float64)
    # Cosines of query 1: 1 and 0; of query 2: 0.6 and 0.8. Divided by 0.5 and compared.
    first = math.exp(2.0) / (math.exp(2.0) + math.exp(0.0))
    second = math.exp(1.6) / (math.exp(1.2) + math.exp(1.6))
    expected = -(math.log(first) + math.log(second)) / 2
    assert patch_nce(queries, keys, 0.5).tolist() == pytest.approx([expected], abs=1e-12)


def test_it_is_torchs_cross_entropy_item_by_item():
    queries, keys = torch.randn(2, 3, 7, 5, dtype=torch.float64)
    found = patch_nce(queries, keys, 0.07)
    for b in range(3):
        cosine = torch.nn.functional.cosine_similarity(queries[b, :, None], keys[b, None], dim=-1)
        expected = torch.nn.functional.cross_entropy(cosine / 0.07, torch.arange(7))
        torch.testing.assert_close(found[b], expected, atol=1e-12, rtol=0)


def test_the_source_receives_no_gradient_and_half_precision_is_left_behind():
    queries = torch.randn(1, 4, 5, dtype=torch.float16, requires_grad=True)
    keys = torch.randn(1, 4, 5, dtype=torch.float16, requires_grad=True)
    loss = patch_nce(queries, keys, 0.07)
    assert loss.dtype == torch.float32
    loss.sum().backward()
    assert queries.grad is not None and queries.grad.any() and keys.grad is None


def test_places_are_different_ones_and_all_where_there_are_no_more():
    features = torch.arange(2 * 9.0).reshape(2, 9, 1)
    some = pick(features, item_generators(0, [0, 1]), 4)
    assert some.shape == (2, 4) and all(len(set(row)) == 4 for row in some.tolist())
    every = pick(features, item_generators(0, [0, 1]), 256)
    assert torch.equal(every.sort(dim=1).values, torch.arange(9).expand(2, 9))
    assert torch.equal(at(features, some)[1, :, 0], 9.0 + some[1])


def test_an_items_places_come_from_its_own_noise():
    eps = randn(item_generators(0, range(3)), (4, 8, 8))
    features = torch.zeros(3, 64, 1)
    together = pick(features, generators_of(eps), 16)
    assert len({tuple(row) for row in together.tolist()}) == 3
    for i in range(3):
        assert torch.equal(pick(features[:1], generators_of(eps[i : i + 1]), 16)[0], together[i])
        wide = generators_of(eps[i : i + 1].double())
        assert torch.equal(pick(features[:1], wide, 16)[0], together[i])
