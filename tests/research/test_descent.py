import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from i2i_dds.diffusion.randomness import item_generators, randn
from i2i_dds.editing.interface import EditBatch, finish
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.errors import UserError
from i2i_dds.research.descent import PROBES, UnsharedNoise, Variant, delta_loss, trace
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.interface import ScoreInput
from i2i_dds.scores.sds import SDS
from i2i_dds.teacher.interface import Teacher

EDITOR = LatentOptimization(lr=0.05, guidance_scale=1.0)


def test_a_trace_is_the_descent_it_looks_at(make_data):
    data, variant = make_data(), Variant(EDITOR)
    found = list(trace(variant, data, [0, 2, 5]))
    assert [numbers["iteration"] for numbers, _ in found] == [0, 2, 5]
    texts = data.embed(["0", "1"]), data.embed(["2", "2"])
    batch = EditBatch(data.z, *texts, item_generators(0, ["a", "b"]))
    shorter = finish(LatentOptimization(steps=2, lr=0.05, guidance_scale=1.0)(data.teacher, batch))
    assert torch.equal(found[0][1], data.z) and torch.equal(found[1][1], shorter.z)
    numbers = found[1][0]
    assert numbers["drift"] == pytest.approx((shorter.z - data.z).square().mean().sqrt().item())
    assert numbers["steps_taken"] == 2 and math.isnan(numbers["delta_loss"])


def test_gradient_norm_is_the_root_mean_square_of_the_last_step(make_data):
    data = make_data()
    (_, z1), (numbers, z2) = trace(Variant(EDITOR), data, [1, 2])
    step = (z1 - z2) / EDITOR.lr
    assert numbers["gradient_norm"] == pytest.approx(step.square().mean().sqrt().item())


def test_items_that_stopped_stay_and_their_steps_are_counted(make_data):
    stop = LatentOptimization(
        lr=0.05, guidance_scale=1.0, stop=lambda done: torch.tensor([True, done.step >= 2])
    )
    (early, z3), (late, z9) = trace(Variant(stop), make_data(), [3, 9])
    assert torch.equal(z3, z9) and early["steps_taken"] == late["steps_taken"] == (1 + 3) / 2
    assert early["steps_deviation"] == 1
    (_, z2), _ = trace(Variant(stop), make_data(), [2, 3])
    last = ((z2 - z3) / EDITOR.lr)[1]  # of the one that took the third step
    assert early["gradient_norm"] == pytest.approx(last.square().mean().sqrt().item())


def test_entries_that_were_not_finite_are_counted(make_data):
    def spoilt(teacher: Teacher, inputs: ScoreInput) -> Tensor:
        grad = DDS()(teacher, inputs).clone()
        grad[0, 0, 0, :2] = float("nan")
        return grad

    (first, _), (last, _) = trace(Variant(replace(EDITOR, score=spoilt)), make_data(), [1, 3])
    assert (first["nonfinite"], last["nonfinite"]) == (2, 6)


@pytest.mark.parametrize("prompts", [("caption", "caption"), ("target", "target")])
def test_matched_prompts_move_nothing_and_have_no_delta(make_data, prompts):
    data, variant = make_data(), Variant(EDITOR, *prompts)
    (numbers, z) = list(trace(variant, data, [4], probe=True))[0]
    assert torch.equal(z, data.z) and numbers["drift"] == numbers["delta_loss"] == 0


def test_the_delta_loss_is_the_mean_square_over_fixed_timesteps(make_data):
    data = make_data()
    batch = Variant(EDITOR).batch(data)
    z, wanted = data.z + 0.1, []
    generators = item_generators(0, ["probe/a", "probe/b"])
    for number in range(1, PROBES + 1):
        t = torch.full((2,), round(999 * number / 20))
        eps = randn(generators, z.shape[1:], z.dtype)
        inputs = ScoreInput(
            z_tgt=z,
            z_src=data.z,
            text_tgt=batch.text_tgt,
            text_src=batch.text_src,
            t=t,
            eps=eps,
            guidance_scale=2.0,
        )
        wanted.append(DDS()(data.teacher, inputs).square().mean().item())
    assert delta_loss(data, batch, z, 2.0) == pytest.approx(sum(wanted) / 19, rel=1e-12)
    assert delta_loss(data, batch, z, 2.0) == delta_loss(data, batch, z, 2.0)


def test_prompts_by_kind(make_data):
    data = make_data(source=("0", "1"), target=("2", "2"))
    batch = Variant(EDITOR, source="another", target="empty").batch(data)
    assert batch.text_src.equal(data.embed(["1", "0"])).all()
    assert batch.text_tgt.equal(data.embed(["", ""])).all()
    with pytest.raises(UserError, match="source: 'none' is not allowed; give one of caption"):
        Variant(EDITOR, source="none")


def test_unshared_noise_is_another_draw_at_every_place_and_leaves_a_matched_pair_noisy(make_data):
    data, asked = make_data(), []

    def score(teacher, inputs):
        asked.append(inputs.eps)
        return SDS()(teacher, inputs)

    text, t = data.embed(["0", "1"]), torch.tensor([400, 400])
    eps = randn(item_generators(3, [0, 1]), data.z.shape[1:], data.z.dtype)
    inputs = ScoreInput(
        z_tgt=data.z,
        z_src=data.z,
        text_tgt=text,
        text_src=text,
        t=t,
        eps=eps,
        guidance_scale=1.0,
    )
    found = UnsharedNoise(score)(data.teacher, inputs)
    first, second = asked
    assert torch.equal(first, eps) and not (second == eps).any()
    assert torch.equal(second.flatten(1).sort()[0], eps.flatten(1).sort()[0])
    assert found.abs().min() > 0
    assert DDS()(data.teacher, inputs).abs().max() == 0
