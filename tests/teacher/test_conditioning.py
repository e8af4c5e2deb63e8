import pytest
import torch

from i2i_dds.teacher.conditioning import Conditioning


def told(*rows: float) -> Conditioning:
    embeddings = torch.tensor(rows).reshape(-1, 1, 1)
    return Conditioning(embeddings, pooled=-embeddings[:, 0], ids=torch.arange(len(rows)))


def numbers(conditioning: Conditioning) -> list[float]:
    assert torch.equal(conditioning["pooled"], -conditioning.embeddings[:, 0])
    return conditioning.embeddings.flatten().tolist()


def test_every_tensor_goes_along() -> None:
    two = told(1.0, 2.0)
    assert (two.rows, len(two), list(two)) == (2, 3, ["embeddings", "pooled", "ids"])
    assert numbers(two.repeat(2)) == [1, 2, 1, 2]
    assert numbers(two.repeat_interleave(2)) == [1, 1, 2, 2]
    assert numbers(two.take(torch.tensor([1, 0]))) == [2, 1]
    assert numbers(told(3.0).expand(3)) == [3, 3, 3]
    assert numbers(Conditioning.cat([two, told(3.0)])) == [1, 2, 3]
    assert [numbers(part) for part in two.chunk(2)] == [[1], [2]]


def test_rows_are_equal_if_they_are_in_every_tensor() -> None:
    one, other = told(1.0, 2.0), told(1.0, 3.0)
    assert one.equal(other).tolist() == [True, False]
    pooled = Conditioning(one.embeddings, pooled=one["pooled"] + 1, ids=one["ids"])
    assert one.equal(pooled).tolist() == [False, False]


def test_whole_numbers_keep_their_type() -> None:
    half = told(1.0).to(dtype=torch.float16)
    assert half.embeddings.dtype == half["pooled"].dtype == torch.float16
    assert half["ids"].dtype == torch.long


def test_tensors_of_other_numbers_of_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="the numbers of rows differ"):
        Conditioning(torch.zeros(2, 1, 1), pooled=torch.zeros(3, 1))
