import pytest
import torch

from i2i_dds.diffusion.randomness import item_generators, randn
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.research.directions import PAIRS, cosines, norms
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.interface import ScoreInput
from i2i_dds.scores.sds import SDS


def test_a_pair_that_is_the_same_has_cosine_one_and_other_noise_has_not(make_data):
    data = make_data(source=("0", "1"), target=("0", "1"))  # the truth is the source
    rows = list(cosines(data, [300, 700], 2, 1.5))
    assert [(row["t"], row["pair"]) for row in rows] == [(t, p) for t in (300, 700) for p in PAIRS]
    found = {(row["t"], row["pair"]): row["cosine"] for row in rows}
    for t in (300, 700):
        assert found[t, "truth"] == pytest.approx(1, abs=1e-12)
        assert found[t, "same picture, target prompt"] == pytest.approx(1, abs=1e-12)
        assert found[t, "same scene, other noise"] < 1 and found[t, "another scene"] < 1


def test_cosine_by_hand(make_data):
    data = make_data()
    rows = list(cosines(data, [500], 1, 2.0))
    generators = item_generators(0, ["cosine/a", "cosine/b"])
    eps = randn(generators, data.z.shape[1:], data.z.dtype)
    t, both = torch.tensor([500, 500]), []
    for words in (["0", "1"], ["2", "2"]):
        text = data.embed(words)
        inputs = ScoreInput(
            z_tgt=data.z,
            z_src=data.z,
            text_tgt=text,
            text_src=text,
            t=t,
            eps=eps,
            guidance_scale=2.0,
        )
        both.append(SDS()(data.teacher, inputs).flatten(1))
    dot = (both[0] * both[1]).sum(1) / (both[0].norm(dim=1) * both[1].norm(dim=1))
    assert rows[1]["pair"] == "same picture, target prompt"
    assert rows[1]["cosine"] == pytest.approx(dot.mean().item())


def test_norms_are_root_mean_squares_and_of_a_matched_pair_the_delta_has_none(make_data):
    editor = LatentOptimization(lr=0.05, guidance_scale=1.0)
    data = make_data(source=("0", "1"), target=("0", "1"))
    rows = list(norms(data, editor, [0, 2], [300], 3))
    assert [(row["iteration"], row["score"]) for row in rows] == [
        (0, "dds"), (0, "sds"), (2, "dds"), (2, "sds"),
    ]  # fmt: skip
    assert rows[0]["norm"] == rows[2]["norm"] == 0 < rows[1]["norm"]
    data = make_data()
    row = next(norms(data, editor, [0], [300], 1))
    eps = randn(item_generators(0, ["norms/a", "norms/b"]), data.z.shape[1:], data.z.dtype)
    inputs = ScoreInput(
        z_tgt=data.z,
        z_src=data.z,
        text_tgt=data.embed(["2", "2"]),
        text_src=data.embed(["0", "1"]),
        t=torch.tensor([300, 300]),
        eps=eps,
        guidance_scale=1.0,
    )
    root = DDS()(data.teacher, inputs).square().flatten(1).mean(1).sqrt()
    assert row["norm"] == pytest.approx(root.mean().item(), rel=1e-6)
    assert row["between"] == pytest.approx(root.std().item(), rel=1e-5)
