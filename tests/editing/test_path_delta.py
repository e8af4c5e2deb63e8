"""The path-delta editor against the published algorithms, written out in their own notation."""

from dataclasses import replace

import pytest
import torch

from i2i_dds.diffusion.process import CLEAN, RectifiedFlow, VariancePreserving
from i2i_dds.diffusion.randomness import item_generators, randn
from i2i_dds.editing.interface import EditBatch, finish
from i2i_dds.editing.inversion import Inversion
from i2i_dds.editing.latent_optimization import edit
from i2i_dds.editing.path_delta import PathDelta
from i2i_dds.editing.sde import forward_path
from i2i_dds.errors import UserError
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.weights import velocity_units
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


def anew(batch: EditBatch) -> EditBatch:
    """The batch with its chance from the beginning."""
    return replace(batch, generators=item_generators(0, range(2)))


def edited(editor, teacher, batch: EditBatch) -> torch.Tensor:
    return finish(editor(teacher, anew(batch))).z


def noise_hat(teacher, z_t, t: int, text, scale: float) -> torch.Tensor:
    """The noise under classifier-free guidance."""
    rows = torch.full((len(z_t),), t)
    eps_c = teacher.predict_noise(z_t, rows, text.expand(len(z_t)))
    eps_u = teacher.predict_noise(z_t, rows, teacher.embed([""]).expand(len(z_t)))
    return eps_u + scale * (eps_c - eps_u)


def time(teacher, t: int) -> float:
    """A process that keeps its variance is a flow of ``z_t / (alpha_t + sigma_t)`` at this time."""
    alpha, sigma = teacher.process.alpha_at(t), teacher.process.sigma_at(t)
    return sigma / (alpha + sigma)


def velocity(teacher, z_flow, t: int, text, scale: float) -> torch.Tensor:
    """``v = eps_hat - z_hat`` of a latent in the units of the flow."""
    alpha, sigma = teacher.process.alpha_at(t), teacher.process.sigma_at(t)
    z_t = z_flow * (alpha + sigma)
    eps = noise_hat(teacher, z_t, t, text, scale)
    return eps - (z_t - sigma * eps) / alpha


def flowedit(teacher, batch: EditBatch, editor: PathDelta, n_min: int = 0) -> torch.Tensor:
    """Algorithm 1 of Kulikov et al.: Z_FE, n_avg draws each, and n_min steps of Z^tar alone."""
    x_src, z_fe = batch.z_src, batch.z_src.clone()
    pairs = teacher.process.pairs(editor.steps, editor.strength)
    n_max = len(pairs)
    for i, (t, t_next) in zip(range(n_max, 0, -1), pairs, strict=True):
        s, s_next = time(teacher, t), time(teacher, t_next)
        if i > n_min:
            draws = randn(batch.generators, (editor.num_noise, 4, 3, 3), torch.float64).unbind(1)
            v_delta = torch.zeros_like(z_fe)
            for n in draws:
                z_src = (1 - s) * x_src + s * n
                z_tar = z_fe + z_src - x_src
                v_tar = velocity(teacher, z_tar, t, batch.text_tgt, editor.guidance_scale)
                v_src = velocity(teacher, z_src, t, batch.text_src, editor.guidance_scale_src)
                v_delta += (v_tar - v_src) / len(draws)
            z_fe = z_fe + (s_next - s) * v_delta
            continue
        if i == n_min:
            n = randn(batch.generators, (4, 3, 3), torch.float64)
            z_tar = z_fe + ((1 - s) * x_src + s * n) - x_src
        v_tar = velocity(teacher, z_tar, t, batch.text_tgt, editor.guidance_scale)
        z_tar = z_tar + (s_next - s) * v_tar
    return z_tar if n_min else z_fe


def drfs(teacher, batch: EditBatch, editor: PathDelta, lr: list[float]) -> torch.Tensor:
    """Algorithm 1 of Beaudouin et al.: x_tgt by gradients (eqs. 6 and 8), t descending."""
    x_src, x_tgt = batch.z_src, batch.z_src.clone()
    total = editor.steps
    for k, (t, _) in enumerate(teacher.process.pairs(total)):
        if total - k > len(teacher.process.pairs(total, editor.strength)):
            continue
        s = time(teacher, t)
        eta = editor.shift * k / total
        c = eta * s
        draws = randn(batch.generators, (editor.num_noise, 4, 3, 3), torch.float64).unbind(1)
        delta = torch.zeros_like(x_tgt)
        for n in draws:
            src_t = (1 - s) * x_src + s * n
            tgt_t = (1 - s) * x_tgt + s * n + c * (x_tgt - x_src)
            v_tgt = velocity(teacher, tgt_t, t, batch.text_tgt, editor.guidance_scale)
            v_src = velocity(teacher, src_t, t, batch.text_src, editor.guidance_scale_src)
            delta += (v_tgt - v_src) / len(draws)
        grad = delta + (1 - eta) * (x_tgt - x_src)
        x_tgt = x_tgt - lr[k] * grad
    return x_tgt


def hump(times: list[float]) -> list[float]:
    """lr_hump_tail_beta of the authors' code, a = 10, b = 8, as its loop calls it."""
    total, a, b = len(times), 10, 8
    alpha_t = (times[-2] - times[-1]) / 1.6
    alpha_max, beta = alpha_t / 1.6, alpha_t / 4
    rates = []
    for k in range(1, total + 1):
        x = (k - 1) / (total + 28 - 1)
        pdf = x ** (a - 1) * (1 - x) ** (b - 1)
        mode = (a - 1) / (a + b - 2)
        peak = mode ** (a - 1) * (1 - mode) ** (b - 1)
        rates.append(2.2 * ((alpha_max - beta) * pdf / peak + beta * x))
    return rates


def ddpm(teacher, z_t, t: int, t_prev: int, text, scale: float):
    """Mean and standard deviation of ``q(x_prev | x_t, x_0_hat)``, eq. 7 of DDPM."""
    process = teacher.process
    alpha, sigma, alpha_prev, sigma_prev = (
        table(at) for at in (t, t_prev) for table in (process.alpha_at, process.sigma_at)
    )
    eps = noise_hat(teacher, z_t, t, text, scale)
    x_0 = (z_t - sigma * eps) / alpha
    ratio = alpha / alpha_prev
    pull = ratio * (sigma_prev / sigma) ** 2
    variance = (sigma_prev / sigma) ** 2 * (sigma**2 - (ratio * sigma_prev) ** 2)
    return alpha_prev * x_0 + pull * (z_t - alpha * x_0), variance**0.5


def solved_noise(teacher, batch: EditBatch, editor: PathDelta, xs, last: bool) -> torch.Tensor:
    """Noise maps solved from x_T .. x_0 and used again under the target's prompt.

    Huberman-Spiegelglas et al. (the x_t are independent) and Nie et al., eqs. 6 to 8 (they are one
    path). At the last step there is no noise: y ends at its mean, plus what the source is off
    its own where ``last``.
    """
    pairs = teacher.process.pairs(editor.steps, editor.strength)
    y = xs[0]
    for i, (t, t_prev) in enumerate(pairs):
        mean_x, std = ddpm(teacher, xs[i], t, t_prev, batch.text_src, editor.guidance_scale_src)
        mean_y, _ = ddpm(teacher, y, t, t_prev, batch.text_tgt, editor.guidance_scale)
        if t_prev == CLEAN:
            return mean_y + (xs[-1] - mean_x if last else 0)
        z = (xs[i + 1] - mean_x) / std
        y = mean_y + std * z
    raise AssertionError("no last step")


@pytest.mark.parametrize("num_noise", [1, 3])
@pytest.mark.parametrize("guidance_scale_src", [1.5, 5.5])
def test_by_default_it_is_the_published_flowedit(teacher, batch, num_noise, guidance_scale_src):
    editor = PathDelta("fresh", 10, 0.7, 5.5, guidance_scale_src, num_noise)
    expected = flowedit(teacher, anew(batch), editor)
    torch.testing.assert_close(edited(editor, teacher, batch), expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(("t_free", "n_min"), [(0.2, 2), (0.6, 6)])
def test_the_last_steps_of_flowedit_can_be_of_the_target_alone(teacher, batch, t_free, n_min):
    editor = PathDelta("fresh", 10, 0.7, 5.5, 1.5, t_free=t_free)
    expected = flowedit(teacher, anew(batch), editor, n_min)
    torch.testing.assert_close(edited(editor, teacher, batch), expected, atol=1e-9, rtol=1e-9)
    assert len(list(editor(teacher, anew(batch)))) == 7


def test_both_processes_are_tried(teacher, request):
    kind = RectifiedFlow if "flow" in request.node.name else VariancePreserving
    assert isinstance(teacher.process, kind)


@pytest.mark.parametrize("lr", ["hump", "flow", 0.03])
@pytest.mark.parametrize("num_noise", [1, 2])
@pytest.mark.parametrize("strength", [0.7, 1.0])
def test_with_a_growing_shift_it_is_the_published_drfs(teacher, batch, lr, num_noise, strength):
    editor = PathDelta("fresh", 10, strength, 5.5, 1.5, num_noise, shift=0.8, lr=lr)
    times = [time(teacher, t) for t, _ in teacher.process.pairs(10)]
    if lr == "hump":
        rates = hump(times)
    elif lr == "flow":
        rates = [s - s_next for s, s_next in zip(times, [*times[1:], 0.0], strict=True)]
    else:
        rates = [lr] * 10
    expected = drfs(teacher, anew(batch), editor, rates)
    found = edited(editor, teacher, batch)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
    assert (found - batch.z_src).abs().max() > 0.01


def test_without_a_shift_drfs_is_descent_on_dds(teacher, batch):
    editor = PathDelta("fresh", 10, 0.7, 3.0, None, shift=0.0, lr=0.05)
    pairs = teacher.process.pairs(10, 0.7)
    *_, last = edit(
        teacher,
        z_src=batch.z_src,
        text_src=batch.text_src,
        text_tgt=batch.text_tgt,
        score=DDS(velocity_units),
        steps=len(pairs),
        lr=0.05,
        guidance_scale=3.0,
        timesteps=lambda step, steps, generators: torch.full((2,), pairs[step][0]),
        generators=item_generators(0, range(2)),
    )
    torch.testing.assert_close(edited(editor, teacher, batch), last.z, atol=1e-10, rtol=1e-10)


def test_with_a_shift_of_one_drfs_is_flowedit(teacher, batch):
    plain = PathDelta("fresh", 10, 0.7, 5.5, 1.5)
    shifted = replace(plain, shift=1.0, ramp=False)
    expected = edited(plain, teacher, batch)
    torch.testing.assert_close(edited(shifted, teacher, batch), expected, atol=1e-10, rtol=1e-10)
    assert not torch.allclose(edited(replace(shifted, ramp=True), teacher, batch), expected)


def test_flowedit_is_dds_at_descending_t_with_a_weight(teacher, batch):
    """The weight is ``(s - s') / ((1 - s) (1 - s'))``, in flow time."""
    pairs = teacher.process.pairs(10, 0.7)
    after = dict(pairs)

    def weight(process, t, like):
        s, s_next = (time(teacher, one) for one in (int(t[0]), after[int(t[0])]))
        return torch.full_like(like[:, :1, :1, :1], (s - s_next) / ((1 - s) * (1 - s_next)))

    *_, last = edit(
        teacher,
        z_src=batch.z_src,
        text_src=batch.text_src,
        text_tgt=batch.text_tgt,
        score=DDS(weight),
        steps=len(pairs),
        lr=1.0,
        guidance_scale=3.0,
        timesteps=lambda step, steps, generators: torch.full((2,), pairs[step][0]),
        generators=item_generators(0, range(2)),
    )
    found = edited(PathDelta("fresh", 10, 0.7, 3.0, 3.0), teacher, batch)
    torch.testing.assert_close(found, last.z, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("guidance_scale_src", [1.5, 3.0])
def test_at_eta_one_it_is_edit_friendly_inversion_but_for_the_last_mean(
    teacher, batch, guidance_scale_src
):
    editor = PathDelta("fresh", 10, 0.7, 3.0, guidance_scale_src, eta=1.0)
    xs, fresh = [], anew(batch)
    for t, _ in teacher.process.pairs(10, 0.7):
        eps = randn(fresh.generators, (4, 3, 3), torch.float64)
        alpha, sigma = teacher.process.alpha_at(t), teacher.process.sigma_at(t)
        xs.append(alpha * batch.z_src + sigma * eps)
    xs.append(batch.z_src)
    found = edited(editor, teacher, batch)
    expected = solved_noise(teacher, batch, editor, xs, last=True)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
    t, _ = teacher.process.pairs(10)[-1]
    mean, _ = ddpm(teacher, xs[-2], t, CLEAN, batch.text_src, guidance_scale_src)
    as_published = solved_noise(teacher, batch, editor, xs, last=False)
    torch.testing.assert_close(found - as_published, batch.z_src - mean, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("guidance_scale_src", [1.5, 3.0])
def test_beside_a_recorded_path_it_is_cycle_sde(teacher, batch, guidance_scale_src):
    editor = PathDelta("path", 10, 0.7, 3.0, guidance_scale_src, eta=1.0)
    pairs = teacher.process.pairs(10, 0.7)
    path = forward_path(teacher.process, batch.z_src, pairs, anew(batch).generators)
    expected = solved_noise(teacher, batch, editor, path, last=True)
    found = edited(editor, teacher, batch)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
    if guidance_scale_src == 3.0:
        assert torch.equal(found, edited(Inversion("cycle_sde", 10, 0.7, 3.0), teacher, batch))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"noise": "one", "num_noise": 2},
        {"noise": "path", "eta": 1.0},
        {"eta": 1.0},
        {"shift": 1.0},
        {"shift": 0.5, "ramp": False, "lr": "hump"},
    ],
)
def test_a_matched_pair_stays_as_it_is_to_the_bit(teacher, batch, settings):
    same = replace(batch, text_tgt=batch.text_src)
    editor = PathDelta(steps=10, strength=1.0, guidance_scale=3.0, guidance_scale_src=None)
    assert torch.equal(edited(replace(editor, **settings), teacher, same), batch.z_src)


def test_the_same_noise_can_serve_all_steps(teacher, batch):
    one, again, fresh = (
        edited(PathDelta(noise, 10, 0.7, 3.0, 3.0), teacher, batch)
        for noise in ("one", "one", "fresh")
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, fresh)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise": "old"}, "noise: 'old' is not allowed; give one of fresh, one, path"),
        ({"noise": "path", "num_noise": 2}, "noise: 'path' goes with num_noise=1"),
        ({"noise": "path", "shift": 0.5}, "noise: 'path' goes with .* no shift"),
        ({"shift": 1.5}, "shift: 1.5 is not allowed; give a number from 0 to 1, or null"),
        ({"shift": 0.5, "eta": 1.0}, "shift: 0.5 takes no step of a sampler"),
        (
            {"lr": "humps"},
            r"lr: 'humps' is not allowed \(did you mean 'hump'\?\); give a number ab",
        ),
        ({"lr": 0}, "lr: 0 is not allowed"),
        ({"t_free": 0.66}, "t_free: 0.66 is not allowed; give less than strength, 0.66"),
        ({"eta": 2}, "eta: 2 is not allowed"),
    ],
)
def test_settings_that_make_no_run_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        PathDelta(**settings)
