"""One step of an edit beside its source, and where its numbers come from.

An edit e lives beside noised sources x_t. A step asks the teacher about both sides at one t,

    delta = eps_hat(x_t + scale e, y_tgt) - eps_hat(x_t, y_src),

which is the gradient of DDS, and moves the edit along a line:

    e <- keep e + move delta.

Methods differ in these three numbers, and in where x_t comes from. All of them are written for
``z_t = alpha_t z + sigma_t eps``. A process that keeps its variance is a rectified flow too, of
``z_t / (alpha_t + sigma_t)`` at the time ``s_t = sigma_t / (alpha_t + sigma_t)``, for which
``1 - s_t = alpha_t / (alpha_t + sigma_t)`` and ``v_hat = (eps_hat - z_t) / (1 - s_t)``.

:func:`sampler_step`. The step of a sampler on both sides, the one less the other; e is
``d = y_t - x_t``:

    scale = 1,  keep = coef_z,  move = coef_eps                       (of DDIM, with its eta)

At eta = 0 this is FlowEdit's ``d <- d + (s' - s) (v(x_t + d, y_tgt) - v(x_t, y_src))``, for
``v = (eps_hat - z_t) / (1 - s)`` makes of it

    d <- (1 - s') / (1 - s) d + (s' - s) / (1 - s) delta = coef_z d + coef_eps delta.

At eta = 1 it is the step of Cycle-SDE and of edit-friendly DDPM inversion. The noise that they
solve for, ``n = (x_u - mean(x_t)) / std``, cancels when it is used again:

    y_u = mean(y_t) + std n = x_u + mean(y_t) - mean(x_t).

:func:`shifted_step`. Descent on a clean edit ``e = z - z_src`` with the gradient of Delta Rectified
Flow Sampling and its shift ``c_t = shift s_t``. The target is asked about at

    (1 - s) z + s eps + c_t (z - z_src) = x_t + (1 - s + shift s) e,

and the gradient is ``g = v_tgt - v_src + (1 - shift) e``. With v written out, e's factors add up to
``(1 - shift) - (1 - s + shift s) / (1 - s) = -shift / (1 - s)``, so that

    g = (delta - shift e) / (1 - s),        e <- e - lr g:

    scale = alpha_t + shift sigma_t,  keep = 1 + gain shift,  move = -gain,  gain = lr / (1 - s).

At shift 0 this is descent on DDS with the weight ``1 / (1 - s)``
(:func:`i2i_dds.scores.weights.velocity_units`). At shift 1 and ``lr = s - s'`` it is FlowEdit.

Both ends are one method with two lengths of step. ``d / alpha_t``, FlowEdit's edit in the units of
a clean latent, is asked about at ``x_t + alpha_t (d / alpha_t)`` and moves by
``coef_eps / alpha_u delta``: this is DDS at descending t with the weight
``(s - s') / ((1 - s) (1 - s'))``, where shift 0 has ``(s - s') / (1 - s)``.
"""

from __future__ import annotations

from dataclasses import dataclass

from i2i_dds.diffusion.ddim import DDIMCoefficients
from i2i_dds.diffusion.process import CLEAN, Process


@dataclass(frozen=True)
class DeltaStep:
    """The numbers of one step, in double precision.

    Attributes:
        coefficients: Of the sampler's step between the same timesteps.
        scale: What multiplies the edit where the target is asked about.
        keep: What multiplies the edit in the next one.
        move: What multiplies the difference of both sides' predictions there.
        clean_keep: As ``keep``, of one step straight to the clean latent.
        clean_move: As ``move``, of one step straight to the clean latent.
    """

    coefficients: DDIMCoefficients
    scale: float
    keep: float
    move: float
    clean_keep: float
    clean_move: float


def flow_time(process: Process, t: int) -> float:
    """``s_t = sigma_t / (alpha_t + sigma_t)``, in [0, 1]; 0 of the clean latent."""
    alpha, sigma = process.alpha_at(t), process.sigma_at(t)
    return sigma / (alpha + sigma)


def sampler_step(process: Process, t: int, t_prev: int, eta: float) -> DeltaStep:
    """The step of a sampler from t to t_prev on both sides, the one less the other."""
    step = DDIMCoefficients.of(process, t, t_prev, eta)
    jump = DDIMCoefficients.of(process, t, CLEAN, eta)
    return DeltaStep(step, 1.0, step.coef_z, step.coef_eps, jump.coef_z, jump.coef_eps)


def shifted_step(process: Process, t: int, t_prev: int, shift: float, lr: float) -> DeltaStep:
    """A step of descent on the clean edit, at ``c_t = shift s_t``.

    Args:
        process: The teacher's.
        t: Timestep.
        t_prev: The next one.
        shift: In [0, 1]; 0 is DDS, 1 FlowEdit.
        lr: Length of the step, in flow time.
    """
    alpha, sigma = process.alpha_at(t), process.sigma_at(t)
    gain = lr * (alpha + sigma) / alpha
    keep, move = 1 + gain * shift, -gain
    step = DDIMCoefficients.of(process, t, t_prev, 0.0)
    return DeltaStep(step, alpha + shift * sigma, keep, move, keep, move)


def learning_rates(process: Process, steps: int, lr: float | str) -> list[float]:
    """Lengths of the steps of a whole run, in flow time, noisiest first.

    Args:
        process: The teacher's.
        steps: Of the whole way from noise to picture.
        lr: A number, for all of them; "flow", each the way ``s_t - s_t_prev`` that the flow goes;
            "hump", the schedule of the code that its authors published with Delta Rectified Flow
            Sampling: with x from 0 at the first step, ``2.2 ((A - B) b(x) + B x)``, where b is the
            density of Beta(10, 8) with its top at 1, ``A = h / 1.6``, ``B = h / 4`` and h the
            flow's last but one way over 1.6.
    """
    times = [flow_time(process, t) for t, _ in process.pairs(steps)] + [0.0]
    if isinstance(lr, int | float):
        return [float(lr)] * steps
    ways = [s - s_prev for s, s_prev in zip(times, times[1:], strict=False)]
    if lr == "flow":
        return ways
    h = ways[max(0, steps - 2)] / 1.6
    top, tail = h / 1.6, h / 4
    grid = [k / (steps + 27) for k in range(steps)]
    return [2.2 * ((top - tail) * _bump(x) + tail * x) for x in grid]


def _bump(x: float) -> float:
    """``x^9 (1 - x)^7`` over its largest value."""
    return (x / (9 / 16)) ** 9 * ((1 - x) / (7 / 16)) ** 7
