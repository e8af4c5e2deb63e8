"""A new backbone is one class: two teachers nobody has heard of, through everything.

One is told two tensors (embeddings and a pooled vector), the other is a rectified flow whose
network predicts a velocity. Both know one Gaussian for each prompt and so the exact score.
"""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from i2i_dds.diffusion.process import Process, RectifiedFlow, VariancePreserving
from i2i_dds.diffusion.randomness import item_generators, randn
from i2i_dds.diffusion.timesteps import UniformTimesteps
from i2i_dds.editing.automask import AutoMask
from i2i_dds.editing.drag import Drag
from i2i_dds.editing.inpaint import Inpaint
from i2i_dds.editing.interface import EditBatch, finish
from i2i_dds.editing.inversion import Inversion
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.editing.sdedit import SDEdit
from i2i_dds.pipelines.edit import EditPipeline
from i2i_dds.pipelines.editors import EDITORS
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.interface import ScoreInput
from i2i_dds.scores.sds import SDS
from i2i_dds.scores.sds_l2 import SDSL2
from i2i_dds.tasks import Task, TaskSet
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.interface import Teacher
from i2i_dds.teacher.presets import presets_for
from i2i_dds.training.schedules import ScalarSchedule

STD = 0.5
"""Of both teachers' Gaussians."""


class PooledTeacher:
    """``p(z | y) = N(m_y, STD^2 I)``, ``m_y`` a number in the embeddings plus a pooled one.

    A prompt is the two numbers: "1 0.5". The empty prompt is "0 0".
    """

    latent_channels, vae_scale_factor, native_size = 4, 1, 8
    device, dtype = torch.device("cpu"), torch.float64

    def __init__(self) -> None:
        self.process: Process = VariancePreserving.scaled_linear()
        self.presets = presets_for("pocket")
        self.nfe = 0

    def to(self, device: torch.device | str) -> Teacher:
        return self

    def encode(self, x: Tensor) -> Tensor:
        return x.detach()

    def decode(self, z: Tensor) -> Tensor:
        return z.detach()

    def embed(self, prompts: Sequence[str]) -> Conditioning:
        pairs = [[float(word) for word in prompt.split()] or [0.0, 0.0] for prompt in prompts]
        numbers = torch.tensor(pairs, dtype=torch.float64)
        return Conditioning(numbers[:, :1].reshape(-1, 1, 1), pooled=numbers[:, 1:])

    def predict_noise(self, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        self.nfe += len(z_t)
        mean = (text.embeddings + text["pooled"][:, None]).reshape(-1, 1, 1, 1).to(z_t)
        alpha, sigma = self.process.alpha(t, z_t), self.process.sigma(t, z_t)
        return sigma * (z_t - alpha * mean) / (alpha**2 * STD**2 + sigma**2)


class FlowTeacher(PooledTeacher):
    """The same Gaussians, noised along straight lines; the network predicts ``v = eps - z``."""

    def __init__(self) -> None:
        super().__init__()
        self.process = RectifiedFlow(1000)

    def predict_noise(self, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        return self.process.to_eps(self.velocity(z_t, t, text), z_t, t)

    def velocity(self, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        """``E[eps - z | z_t]``, both expectations written out by hand."""
        self.nfe += len(z_t)
        mean = (text.embeddings + text["pooled"][:, None]).reshape(-1, 1, 1, 1).to(z_t)
        s = self.process.sigma(t, z_t)
        share = (z_t - (1 - s) * mean) / ((1 - s) ** 2 * STD**2 + s**2)
        return s * share - (mean + (1 - s) * STD**2 * share)


TEACHERS = pytest.mark.parametrize("teacher", [PooledTeacher(), FlowTeacher()])


def batch_of(teacher, source: str, target: str, n: int = 2, mask=None) -> EditBatch:
    generators = item_generators(0, range(n))
    z = randn(generators, (4, 8, 8), torch.float64, torch.device("cpu"))
    return EditBatch(z, teacher.embed([source]), teacher.embed([target]), generators, mask)


@TEACHERS
def test_it_is_a_teacher(teacher) -> None:
    assert isinstance(teacher, Teacher)


@TEACHERS
def test_the_delta_is_the_closed_form_and_zero_for_a_matched_pair(teacher) -> None:
    """``eps_tgt - eps_src = sigma alpha / v ((z_tgt - z_src) - (m_tgt - m_src))``."""
    batch, t = batch_of(teacher, "0 0", "1 0.5"), torch.tensor([200, 700])
    z_tgt, eps = batch.z_src + 0.25, torch.randn_like(batch.z_src)

    def dds(z: Tensor, text: Conditioning) -> Tensor:
        sides = {"z_src": batch.z_src, "text_src": batch.text_src}
        asked = ScoreInput(z_tgt=z, text_tgt=text, t=t, eps=eps, guidance_scale=1.0, **sides)
        return DDS()(teacher, asked)

    alpha, sigma = teacher.process.alpha(t, eps), teacher.process.sigma(t, eps)
    expected = sigma * alpha / (alpha**2 * STD**2 + sigma**2) * (0.25 - 1.5)
    found = dds(z_tgt, batch.text_tgt)
    torch.testing.assert_close(found, expected.expand_as(found), atol=1e-12, rtol=1e-12)
    assert not dds(batch.z_src, batch.text_src).any()


@TEACHERS
def test_another_pooled_vector_alone_is_another_prompt(teacher) -> None:
    batch = batch_of(teacher, "1 0", "1 0.5")
    z = finish(LatentOptimization(DDS(), steps=300, lr=0.2, guidance_scale=1.0)(teacher, batch)).z
    torch.testing.assert_close(z, batch.z_src + 0.5, atol=1e-3, rtol=0)


@TEACHERS
def test_the_ode_there_and_back_is_the_exact_map_between_gaussians(teacher) -> None:
    """``(z_t - alpha_t m) / sqrt(v_t)`` is constant along the ODE of a Gaussian."""
    batch = batch_of(teacher, "0 0", "1 0.5")
    editor = Inversion("ode", steps=500, strength=0.6, guidance_scale=1.0, guidance_scale_up=1.0)
    z = finish(editor(teacher, batch)).z
    top = teacher.process.pairs(500, 0.6)[0][0]
    alpha, sigma = teacher.process.alpha_at(top), teacher.process.sigma_at(top)
    moved = 1.5 * (1 - STD * alpha / math.sqrt(alpha**2 * STD**2 + sigma**2))
    torch.testing.assert_close(z, batch.z_src + moved, atol=0.02, rtol=0)
    back = Inversion("cycle_sde", steps=50, strength=0.6, guidance_scale=1.0)
    same = batch_of(teacher, "1 0.5", "1 0.5")
    assert torch.equal(finish(back(teacher, same)).z, same.z_src)


@TEACHERS
@pytest.mark.parametrize(
    "editor",
    [
        *(LatentOptimization(score, steps=3, lr=0.1) for score in (DDS(), SDS(), SDSL2(0.1))),
        *(Inversion(name, steps=10) for name in ("cycle_sde", "sde", "ode")),
        *(SDEdit(name, steps=10) for name in ("sde", "ode")),
        *(Inpaint(name, steps=10) for name in ("sde", "ode")),
    ],
    ids=lambda editor: f"{type(editor).__name__}-{getattr(editor, 'sampler', '')}",
)
def test_every_editor_edits_and_leaves_the_rest_alone(teacher, editor) -> None:
    mask = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    mask[..., :4] = 1
    batch = batch_of(teacher, "0 0", "1 0.5", mask=mask)
    z = finish(editor(teacher, batch)).z
    assert torch.equal(z[..., 4:], batch.z_src[..., 4:])
    assert torch.isfinite(z).all() and not torch.equal(z[..., :4], batch.z_src[..., :4])


@TEACHERS
def test_a_mask_is_found_and_a_square_is_dragged(teacher) -> None:
    batch = batch_of(teacher, "0 0", "1 0.5")
    assert AutoMask(num_noise=2)(teacher, batch).mask.shape == (2, 1, 8, 8)
    drag = Drag(steps=10, strength=0.5, radius=1, drag_step=2.0)
    assert torch.isfinite(finish(drag(teacher, batch, [((2, 2), (5, 5))])).z).all()


@TEACHERS
@pytest.mark.parametrize("editor", EDITORS)
def test_the_pipeline_takes_it_with_every_named_editor(teacher, editor, monkeypatch) -> None:
    monkeypatch.setattr(teacher, "encode", lambda x: torch.cat([x, x[:, :1]], 1).double())
    monkeypatch.setattr(teacher, "decode", lambda z: z[:, :3].float().clamp(-1, 1))
    steps = {"num_inference_steps": 4}
    mask = torch.ones(1, 8, 8) if editor == "inpaint" else None
    picture = torch.zeros(3, 8, 8)
    out = EditPipeline(teacher)(
        picture, source="0 0", target="1 0.5", editor=editor, mask=mask, **steps
    )
    assert out.images[0].size == (8, 8) and torch.isfinite(out.latents[0]).all()


@TEACHERS
def test_a_student_learns_the_shift_that_the_delta_asks_for(
    teacher, module, student, trainer, batches
) -> None:
    known = TaskSet([Task("shift", {"0 0": "1 0.5"})])
    x = torch.randn(8, 4, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    net = student(teacher, known)
    training = module(
        teacher,
        net,
        guidance=ScalarSchedule(1, 1),
        identity=ScalarSchedule(0, 0),
        timesteps=UniformTimesteps(100, 700),
    )
    trainer(200).fit(training, batches(x, "0 0", "1 0.5"))
    moved = net(x, torch.zeros(len(x), dtype=torch.long)).detach() - x
    assert moved.mean().item() == pytest.approx(1.5, abs=0.15)
