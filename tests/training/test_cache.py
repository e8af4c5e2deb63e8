import copy

import torch

from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.guided import predict_guided
from i2i_dds.teacher.load import load_teacher
from i2i_dds.training.cache import NoDeepCopy, TeacherCache


class Counting:
    """Encodes by adding one, and tells how often it was asked."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.encoded, self.embedded = 0, []

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        self.encoded += len(x)
        return x + 1

    def embed(self, prompts: list[str]) -> Conditioning:
        self.embedded += prompts
        lengths = torch.tensor([[[float(len(p))]] for p in prompts])
        return Conditioning(lengths, pooled=-lengths[:, 0])


def test_each_latent_is_computed_once() -> None:
    teacher, cache, x = Counting(), TeacherCache(), torch.randn(3, 1, 2, 2)
    assert torch.equal(cache.latents(teacher, ["a", "b", "c"], x), x + 1)
    assert torch.equal(cache.latents(teacher, ["c", "a"], x[[2, 0]]), x[[2, 0]] + 1)
    assert teacher.encoded == 3 and len(cache) == 3


def test_a_picture_of_several_tasks_is_encoded_alone_and_once() -> None:
    teacher, cache, x = Counting(), TeacherCache(), torch.randn(1, 1, 2, 2)
    z = cache.latents(teacher, ["a"] * 4, x.expand(4, -1, -1, -1))
    assert torch.equal(z, x.expand_as(z) + 1) and teacher.encoded == 1


def test_a_latent_has_the_same_bits_in_any_company() -> None:
    pocket = load_teacher("pocket")
    x = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    keys, batches = "abcdefgh", ([0, 1, 2, 3, 4, 5, 6, 7], [7, 0, 3, 5, 1, 6, 2, 4], [6, 2, 7, 5])
    of_each = {}
    for first, batch in enumerate(batches):
        cache = TeacherCache()
        if first:  # known already, so that others are together
            cache.latents(pocket, keys[:first], x[:first])
        z = cache.latents(pocket, [keys[row] for row in batch], x[batch])
        for row, latent in zip(batch, z, strict=True):
            if row >= first:
                assert torch.equal(of_each.setdefault(row, latent), latent)


def test_past_its_size_it_computes_anew() -> None:
    teacher, cache, x = Counting(), TeacherCache(megabytes=1), torch.zeros(2, 1, 400, 400)
    for _ in range(2):
        cache.latents(teacher, ["a", "b"], x)
    assert len(cache) == 1 and teacher.encoded == 4  # the second time one, filled up to two


def test_prompts_are_embedded_alone_once_and_in_order() -> None:
    teacher, cache = Counting(), TeacherCache()
    for _ in range(2):
        found = cache.conditioning(teacher, ["aa", "b", "aa"], torch.device("cpu"))
        assert found.embeddings.flatten().tolist() == [2, 1, 2]
        assert found["pooled"].flatten().tolist() == [-2, -1, -2]
        assert teacher.embedded == ["aa", "b"]


def test_a_picture_and_a_prompt_of_one_name_are_two_things() -> None:
    teacher, cache, x = Counting(), TeacherCache(), torch.zeros(1, 1, 2, 2)
    cache.conditioning(teacher, ["a"], torch.device("cpu"))
    assert torch.equal(cache.latents(teacher, ["a"], x), x + 1)


def noisy(names: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents and timesteps of rows that are told apart by their letters alone."""
    t = torch.tensor([ord(name) for name in names])
    return t.double()[:, None, None, None] / 100 + torch.zeros(1, 4, 3, 4), t


def test_each_answer_is_asked_for_once_whatever_the_guidance(analytic) -> None:
    cache = TeacherCache()
    for names, prompts, scale, rows in (
        ("abca", "0000", 3.0, 6),  # three questions, each with the prompt and without
        ("cb", "00", 7.5, 0),
        ("ad", "00", 3.0, 4),  # a new one, filled up to two
        ("dcba", "0000", 1.0, 0),
        ("ab", "12", 3.0, 2),  # known without a prompt
        ("ef", "00", 1.0, 2),
        ("ef", "00", 3.0, 2),
    ):
        before, (z_t, t) = analytic.nfe, noisy(names)
        found = cache.source_answers(analytic, [*names], [*prompts], z_t, t, scale)
        assert analytic.nfe - before == rows
        (asked,) = predict_guided(analytic, [z_t], [analytic.embed([*prompts])], t, scale)
        torch.testing.assert_close(found, asked, atol=1e-12, rtol=1e-12)


def test_sources_are_asked_about_in_lots_of_sixteen_rows(analytic, monkeypatch) -> None:
    passes, ask = [], analytic.predict_noise
    monkeypatch.setattr(
        analytic, "predict_noise", lambda z_t, *told: passes.append(len(z_t)) or ask(z_t, *told)
    )
    names = "abcdefghijklmnopqrst"
    TeacherCache().source_answers(analytic, [*names], ["0"] * 20, *noisy(names), 3.0)
    assert passes == [16, 16] * 2  # the last lot of 4 is filled up


def test_answers_make_room_for_pictures_and_that_is_told(analytic, caplog) -> None:
    cache, teacher = TeacherCache(megabytes=1), Counting()

    def ask() -> tuple[torch.Tensor, int]:
        before = analytic.nfe
        found = cache.source_answers(analytic, ["a", "b"], ["0", "0"], *noisy("ab"), 1.0)
        return found, analytic.nfe - before

    first, _ = ask()
    assert len(cache) == 3 and first[0].numel() * 8 == 384  # the prompt, and two answers
    picture = torch.zeros(1, 1, 1, (2**20 - 600) // 4)
    for asked in (2, 2):  # one answer has room beside the picture; the other is in a lot of two
        cache.latents(teacher, ["x"], picture)
        again, rows = ask()
        assert torch.equal(again, first) and rows == asked and len(cache) == 3
    assert teacher.encoded == 1 and caplog.text.count("cache_mb: 1 MB are full") == 1


def test_copies_share_what_is_shared() -> None:
    teacher = Counting()
    assert copy.deepcopy([NoDeepCopy(teacher)])[0].value is teacher
