"""LUSD: what attention leaves, how long a step is, and what is left out."""

from dataclasses import replace

import pytest
import torch

from i2i_dds.diffusion.process import RectifiedFlow
from i2i_dds.errors import UserError
from i2i_dds.scores.interface import Descent, ScoreInput
from i2i_dds.scores.lusd import LUSD, edited_places
from i2i_dds.teacher.analytic import GaussianMixtureTeacher
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.interface import AttentionMaps
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

T = torch.tensor([50, 500, 948])


def normal(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape or (3, 4, 4, 4), dtype=torch.float64, generator=generator)


Z, Z_SRC, EPS = normal(1), normal(2), normal(3)


class Looking(GaussianMixtureTeacher):
    """The analytic teacher with attention: prompt k has token k, which looks at quarter k."""

    def embed(self, prompts):
        tokens = torch.tensor([[99, int(prompt), 98] for prompt in prompts])
        return Conditioning(super().embed(prompts).embeddings, tokens=tokens)

    def attention_maps(self, z_t, t, text):
        rows = len(z_t)
        cross = torch.full((rows, 3, 2, 2), 0.1, dtype=torch.float64)
        for row, token in enumerate(text["tokens"][:, 1].tolist()):
            cross[row, 1, token // 2, token % 2] = 1.0
        own = torch.eye(16, dtype=torch.float64).expand(rows, 16, 16)
        return AttentionMaps(cross, own, (4, 4))


@pytest.fixture
def looking():
    means, stds = normal(0, 3, 4, 4, 4), torch.tensor([0.5, 0.6, 0.9])
    return Looking(means, stds)


def asked(teacher, progress=1.0, memory=None, **others):
    known = {"z_tgt": Z, "z_src": Z_SRC, "t": T, "eps": EPS, "guidance_scale": 3.0}
    known |= {"text_tgt": teacher.embed(["0"]), "text_src": teacher.embed(["1"])}
    descent = Descent(progress=progress, memory={} if memory is None else memory)
    return ScoreInput(**{**known, "descent": descent, **others})


def delta(teacher, inputs):
    """From prompt to prompt at the edited latent."""
    z_t = teacher.process.mix(inputs.z_tgt, inputs.eps, inputs.t)
    as_tgt, as_src = (
        teacher.predict_noise(z_t, inputs.t, text.expand(3))
        for text in (inputs.text_tgt, inputs.text_src)
    )
    return as_tgt - as_src


def test_the_gradient_is_zero_where_the_mask_is(looking):
    memory = {}
    grad = LUSD(lambda_l2=0.0)(looking, asked(looking, memory=memory))
    mask = memory["lusd_mask"]
    assert mask.shape == (3, 1, 4, 4) and mask.min() == 0 and mask.max() == 1
    outside = (mask == 0).expand_as(grad)
    assert outside.any() and (grad[outside] == 0).all()
    assert (grad[~outside] != 0).all()
    # The new token looks at the first quarter.
    assert (mask[:, 0, :2, :2].mean((1, 2)) > 4 * mask[:, 0, 2:, 2:].mean((1, 2))).all()


def test_the_direction_and_its_length_are_those_of_the_authors_code(looking):
    """get_csd_loss of colocation/editing_pipeline.py: cmap_scale is the progress."""
    score, memory = LUSD(lambda_l2=0.1), {}
    for progress in (0.0, 0.3, 1.0):
        inputs = asked(looking, progress, memory)
        found, e_t = score(looking, inputs), delta(looking, inputs)
        c_map = memory["lusd_mask"] if progress else torch.ones_like(Z[:, :1])
        c_map = c_map * progress + 1 * (1 - progress)
        direction = (1 - 0.1) * c_map * e_t + 0.1 * (Z - Z_SRC)
        direction = direction / direction.flatten(1).std(1).reshape(-1, 1, 1, 1)
        direction = direction * score.length(progress)
        torch.testing.assert_close(found, direction, rtol=1e-9, atol=1e-12)
        spread = found.flatten(1).std(1)
        torch.testing.assert_close(spread, torch.full_like(spread, score.length(progress)))


def test_lengths_fall_along_a_sigmoid():
    score = LUSD(std_start=0.15, std_end=0.01, speed=5.0)
    lengths = [score.length(p) for p in (0.0, 0.5, 1.0)]
    assert lengths == pytest.approx([0.149063, 0.08, 0.010937], abs=1e-6)


def test_a_matched_pair_is_zero_to_the_bit(looking):
    text = looking.embed(["0", "1", "2"])
    same = asked(looking, z_src=Z.clone(), text_tgt=text, text_src=text.clone())
    for score in (LUSD(), LUSD(threshold=0.0, attention=False)):
        assert torch.equal(score(looking, same), torch.zeros_like(Z))


def test_weak_gradients_are_left_out_and_do_not_move_the_mask(looking):
    inputs = asked(looking, memory={})
    spread = delta(looking, inputs).flatten(1).std(1)
    between = spread.sort().values[:2].mean().item()
    grad = LUSD(threshold=between)(looking, inputs)
    weak = spread < between
    assert weak.sum() == 1
    assert (grad[weak] == 0).all() and (grad[~weak] != 0).any()
    memory = inputs.descent.memory["lusd_mask"]
    assert memory[weak].isnan().all() and not memory[~weak].isnan().any()


def test_the_mask_is_a_running_mean(looking):
    memory = {"lusd_mask": torch.full((3, 1, 4, 4), 0.5, dtype=torch.float64)}
    fresh = {}
    LUSD(momentum=0.2)(looking, asked(looking, memory=memory))
    LUSD(momentum=0.2)(looking, asked(looking, memory=fresh))
    expected = 0.8 * 0.5 + 0.2 * fresh["lusd_mask"]
    torch.testing.assert_close(memory["lusd_mask"], expected)


def test_without_new_words_the_mask_is_everywhere():
    maps = AttentionMaps(torch.rand(2, 3, 2, 2), torch.eye(16).expand(2, 16, 16), (4, 4))
    new = torch.tensor([[False, False, False], [False, True, False]])
    mask = edited_places(maps, new, (4, 4))
    assert (mask[0] == 1).all() and mask[1].min() == 0 and mask[1].max() == 1


def test_self_attention_spreads_the_mask():
    cross = torch.zeros(1, 1, 2, 2)
    cross[0, 0, 0, 0] = 1.0
    own = torch.zeros(1, 4, 4)
    own[0, [0, 1, 2, 3], [0, 1, 0, 3]] = 1.0  # the third place looks at the first
    mask = edited_places(AttentionMaps(cross, own, (2, 2)), torch.ones(1, 1).bool(), (2, 2))
    assert mask.flatten().tolist() == [1, 0, 1, 0]


def test_it_edits_on_flows_without_attention(looking):
    flow = GaussianMixtureTeacher(looking.means, looking.stds, process=RectifiedFlow())
    grad = LUSD(attention=False)(flow, asked(flow))
    assert torch.isfinite(grad).all() and grad.abs().min() > 0
    with pytest.raises(UserError, match=r"^score: a GaussianMixtureTeacher has no cross-att.*give"):
        LUSD()(flow, asked(flow))


def test_without_a_descent_it_is_refused(looking):
    with pytest.raises(UserError, match="^score: LUSD follows the same pictures from step to step"):
        LUSD()(looking, replace(asked(looking), descent=None))


def test_lusd_of_a_network(tiny_folder):
    tiny = StableDiffusionTeacher.load(str(tiny_folder), device="cpu", dtype="float64")
    wide = {name: normal(i, 2, 4, 8, 8) for i, name in enumerate(("z_tgt", "z_src", "eps"))}
    text = {"text_tgt": tiny.embed(["a lion"]), "text_src": tiny.embed(["a cat"])}
    descent = Descent(progress=1.0)
    inputs = ScoreInput(**wide, **text, t=T[:2], guidance_scale=3.0, descent=descent)
    before = tiny.nfe
    grad = LUSD(threshold=0.0)(tiny, inputs)
    assert tiny.nfe - before == 3 * 2
    assert torch.isfinite(grad).all() and grad.abs().max() > 0
    mask = descent.memory["lusd_mask"]
    assert mask.shape == (2, 1, 8, 8)
    assert (mask.amin((1, 2, 3)) == 0).all() and (mask.amax((1, 2, 3)) == 1).all()
