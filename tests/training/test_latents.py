import copy

import torch

from i2i_dds.training.latents import LatentCache, Shared, embed_each


class Counting:
    """Encodes by adding one, and tells how often it was asked."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.encoded, self.embedded = 0, []

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        self.encoded += len(x)
        return x + 1

    def embed(self, prompts: list[str]) -> torch.Tensor:
        self.embedded += prompts
        return torch.tensor([[[float(len(p))]] for p in prompts])


def test_each_latent_is_computed_once() -> None:
    teacher, cache, x = Counting(), LatentCache(), torch.randn(3, 1, 2, 2)
    assert torch.equal(cache(teacher, ["a", "b", "c"], x), x + 1)
    assert torch.equal(cache(teacher, ["c", "a"], x[[2, 0]]), x[[2, 0]] + 1)
    assert teacher.encoded == 3 and len(cache) == 3


def test_past_its_size_it_computes_anew() -> None:
    teacher, cache, x = Counting(), LatentCache(megabytes=1), torch.zeros(2, 1, 400, 400)
    for _ in range(2):
        cache(teacher, ["a", "b"], x)
    assert len(cache) == 1 and teacher.encoded == 3


def test_prompts_are_embedded_alone_and_in_order() -> None:
    teacher = Counting()
    found = embed_each(teacher, ["aa", "b", "aa"], torch.device("cpu"))
    assert found.flatten().tolist() == [2, 1, 2] and teacher.embedded == ["aa", "b"]


def test_copies_share_what_is_shared() -> None:
    teacher = Counting()
    assert copy.deepcopy([Shared(teacher)])[0].value is teacher
