"""FlowEdit against the published algorithm, written out in its own notation."""

from dataclasses import replace

import pytest
import torch

from i2i_dds.diffusion.process import RectifiedFlow, VariancePreserving
from i2i_dds.diffusion.randomness import item_generators, randn
from i2i_dds.editing.flowedit import FlowEdit
from i2i_dds.editing.interface import EditBatch, finish
from i2i_dds.teacher.analytic import GaussianMixtureTeacher

MEANS = torch.randn(3, 4, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=["flow", "noise"])
def teacher(request):
    process = RectifiedFlow(100, shift=3.0) if request.param == "flow" else None
    return GaussianMixtureTeacher(MEANS, torch.tensor([0.5, 0.5, 0.9]), process=process)


@pytest.fixture
def batch(teacher):
    z = randn(item_generators(1, range(2)), (4, 3, 3), torch.float64)
    return EditBatch(z, teacher.embed(["0"]), teacher.embed(["2"]), item_generators(0, range(2)))


def published(teacher, batch, editor: FlowEdit) -> torch.Tensor:
    """Algorithm 1 of Kulikov et al.: Z_FE, and velocities at flow times t_i, n_avg draws each.

    A process that keeps its variance is a rectified flow of ``z_t / (alpha_t + sigma_t)`` at the
    time ``sigma_t / (alpha_t + sigma_t)``.
    """
    process, x_src = teacher.process, batch.z_src

    def time(t: int) -> float:
        alpha, sigma = process.alpha_at(t), process.sigma_at(t)
        return sigma / (alpha + sigma)

    def velocity(z_flow, t: int, text, scale: float):
        """``v = (eps_hat - z_hat)`` under classifier-free guidance."""
        z_t = z_flow * (process.alpha_at(t) + process.sigma_at(t))
        rows = torch.full((len(z_t),), t)
        empty = teacher.embed([""]).expand(len(z_t))
        eps_c = teacher.predict_noise(z_t, rows, text.expand(len(z_t)))
        eps_u = teacher.predict_noise(z_t, rows, empty)
        eps = eps_u + scale * (eps_c - eps_u)
        return eps - (z_t - process.sigma_at(t) * eps) / process.alpha_at(t)

    z_fe = x_src.clone()
    for t, t_next in process.pairs(editor.steps, editor.t0):
        s, s_next = time(t), time(t_next)
        draws = randn(batch.generators, (editor.noises, 4, 3, 3), torch.float64).unbind(1)
        v_delta = torch.zeros_like(z_fe)
        for n in draws:
            z_src = (1 - s) * x_src + s * n
            z_tar = z_fe + z_src - x_src
            v_tar = velocity(z_tar, t, batch.text_tgt, editor.guidance)
            v_src = velocity(z_src, t, batch.text_src, editor.guidance_src)
            v_delta += (v_tar - v_src) / len(draws)
        z_fe = z_fe + (s_next - s) * v_delta
    return z_fe


@pytest.mark.parametrize("noises", [1, 3])
@pytest.mark.parametrize("guidance_src", [1.5, 5.5])
def test_it_is_the_published_algorithm(teacher, batch, noises, guidance_src):
    editor = FlowEdit("fresh", 10, 0.7, 5.5, guidance_src, noises)
    found = finish(editor(teacher, batch)).z
    again = replace(batch, generators=item_generators(0, range(2)))
    torch.testing.assert_close(found, published(teacher, again, editor), atol=1e-9, rtol=1e-9)


def test_both_processes_are_tried(teacher, request):
    kind = RectifiedFlow if "flow" in request.node.name else VariancePreserving
    assert isinstance(teacher.process, kind)


def test_a_matched_pair_stays_as_it_is_to_the_bit(teacher, batch):
    same = replace(batch, text_tgt=batch.text_src)
    result = finish(FlowEdit("fresh", 10, 1.0, 3.0, 3.0)(teacher, same))
    assert torch.equal(result.z, batch.z_src)


def test_the_same_noise_can_serve_all_steps(teacher, batch):
    found = []
    for noise in ("one", "one", "fresh"):
        fresh = replace(batch, generators=item_generators(0, range(2)))
        found.append(finish(FlowEdit(noise, 10, 0.7, 3.0, 3.0)(teacher, fresh)).z)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_to_a_single_gaussian_it_moves_every_source_by_the_difference_of_the_means():
    """Of two Gaussians of one spread the optimal map is that shift, and no noise is left."""
    means = MEANS[:2]
    teacher = GaussianMixtureTeacher(means, torch.tensor([0.6, 0.6]))
    z = randn(item_generators(1, range(3)), (4, 3, 3), torch.float64)
    batch = EditBatch(z, teacher.embed(["0"]), teacher.embed(["1"]), item_generators(0, range(3)))
    moved = finish(FlowEdit("fresh", 1000, 1.0, 1.0, 1.0)(teacher, batch)).z - z
    shift = (means[1] - means[0]).expand_as(moved)
    assert (moved - shift).abs().max() < 0.05 * shift.abs().max()
