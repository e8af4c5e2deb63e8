from functools import partial
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.plugins import MixedPrecision

from i2i_dds.errors import UserError
from i2i_dds.scores.ids import IDS
from i2i_dds.scores.interface import ScoreInput
from i2i_dds.scores.lusd import LUSD
from i2i_dds.scores.pds import PDS
from i2i_dds.scores.sds import SDS
from i2i_dds.scores.ssd import SSD
from i2i_dds.tasks import Task, TaskSet
from i2i_dds.teacher.analytic import GaussianMixtureTeacher
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher
from i2i_dds.training.checkpoints import Checkpoints
from i2i_dds.training.schedules import ScalarSchedule
from i2i_dds.weight_average import WeightAverage

ONE = TaskSet([Task("move", {"0": "1"})])


@pytest.fixture
def two_modes() -> GaussianMixtureTeacher:
    """Components "0" and "1", a constant apart."""
    means = torch.stack([torch.full((2, 4, 4), -0.5), torch.full((2, 4, 4), 0.5)])
    return GaussianMixtureTeacher(means, torch.tensor([0.2, 0.2]))


def sources(n: int = 16) -> torch.Tensor:
    return -0.5 + 0.2 * torch.randn(n, 2, 4, 4, generator=torch.Generator().manual_seed(1))


def test_a_matched_pair_gives_the_weights_exactly_no_gradient(
    module, student, trainer, batches, teacher
) -> None:
    x = torch.rand(4, 3, 32, 32) * 2 - 1
    training = module(identity=ScalarSchedule(0.02, 0.02))
    before = {name: value.clone() for name, value in training.student.named_parameters()}
    seen = []
    training.on_before_optimizer_step = lambda _: seen.extend(
        p.grad.abs().max().item() for p in training.student.parameters() if p.grad is not None
    )
    training._optimizer = lambda parameters: torch.optim.SGD(parameters, 1.0)
    trainer(2).fit(training, batches(x, "a cat", "a cat", 2))
    assert len(seen) > 20 and set(seen) == {0.0}
    for name, value in training.student.named_parameters():
        assert torch.equal(value, before[name]), name


def test_dds_training_moves_each_source_by_the_difference_of_the_modes(
    module, student, trainer, batches, two_modes
) -> None:
    """For single Gaussians the delta vanishes at z = z_src + m1 - m0, whatever t and eps."""
    net, x = student(two_modes, ONE), sources()
    training = module(
        two_modes, net, guidance=ScalarSchedule(1, 1), identity=ScalarSchedule(0.02, 0, 0.5)
    )
    trainer(150).fit(training, batches(x, "0", "1"))
    z = net(x, torch.zeros(len(x), dtype=torch.long)).detach()
    assert (z - (x + 1)).square().mean().sqrt() < 0.1
    assert training.nonfinite == 0


class SeenNorms(Callback):
    """Norms of the weights' gradients as the optimizer gets them."""

    def __init__(self) -> None:
        self.norms: list[float] = []

    def on_train_batch_end(self, trainer, pl_module, *_) -> None:
        gradients = [p.grad for p in pl_module.student.parameters() if p.grad is not None]
        self.norms.append(torch.nn.utils.get_total_norm(gradients).item())


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("fused", [True, False])
def test_gradients_are_clipped_before_any_optimizer(
    module, student, trainer, batches, two_modes, precision, fused
) -> None:
    seen, optimizer = SeenNorms(), partial(torch.optim.AdamW, lr=3e-3, fused=fused)
    training = module(two_modes, student(two_modes, ONE), optimizer=optimizer)
    fitted = trainer(1, seen, gradient_clip_val=1e-3, precision=precision)
    fitted.fit(training, batches(sources(), "0", "1"))
    assert seen.norms == [pytest.approx(1e-3, rel=1e-2)]


def test_a_fused_optimizer_of_scaled_gradients_is_refused(module, monkeypatch) -> None:
    training = module()
    scaled = MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu"))
    monkeypatch.setattr(training, "_trainer", SimpleNamespace(precision_plugin=scaled))
    fused = torch.optim.AdamW(training.student.parameters(), fused=True)
    with pytest.raises(UserError, match=r"^optimizer.fused: true clips no gradients .*bf16-mixed"):
        training.configure_gradient_clipping(fused, 1.0, "norm")


@pytest.mark.parametrize("score", [PDS(scale=5.0), IDS(), SSD()], ids=["pds", "ids", "ssd"])
def test_a_relative_of_dds_takes_its_place(
    module, student, trainer, batches, two_modes, score
) -> None:
    """Each leads the sources towards the other mode; PDS holds them halfway."""
    net, x = student(two_modes, ONE), sources()
    settings = {"guidance": ScalarSchedule(1, 1), "identity": ScalarSchedule(0.02, 0, 0.5)}
    trainer(100).fit(module(two_modes, net, score=score, **settings), batches(x, "0", "1"))
    z = net(x, torch.zeros(len(x), dtype=torch.long)).detach()
    assert (z - x).mean() > 0.3


def test_a_score_that_follows_a_descent_is_refused(module) -> None:
    with pytest.raises(UserError, match="^score: LUSD follows the same pictures from step to step"):
        module(score=LUSD())


def test_sds_takes_its_place(module, student, trainer, batches, two_modes) -> None:
    """It pulls towards the mode itself, so that what differs between sources is lost."""
    net, x = student(two_modes, ONE), sources()
    settings = {"guidance": ScalarSchedule(1, 1), "identity": ScalarSchedule(0, 0)}
    trainer(150).fit(module(two_modes, net, score=SDS(), **settings), batches(x, "0", "1"))
    z = net(x, torch.zeros(len(x), dtype=torch.long)).detach()
    assert abs(z.mean() - 0.5) < 0.2
    assert z.std() < 0.8 * x.std()


def test_the_identity_term_is_what_its_equation_says(module, student, two_modes) -> None:
    """Loss and gradient at the student's output, against the equation written out."""
    net, x = student(two_modes, ONE), sources(2)
    torch.nn.init.normal_(net.net.conv_out.weight, std=0.1)
    training = module(
        two_modes, net, guidance=ScalarSchedule(1, 1), identity=ScalarSchedule(0.3, 0.3)
    )
    training._trainer = SimpleNamespace(estimated_stepping_batches=10, global_step=0)
    training.log = training.log_dict = lambda *_, **__: None
    batch = {
        "key": ["a", "b"],
        "image": x,
        "task": torch.zeros(2, dtype=torch.long),
        "source": ["0", "0"],
        "target": ["1", "1"],
        "instruction": ["", ""],
    }
    loss = training.training_step(batch, 0)
    z = net(x, batch["task"])
    t, eps = training._draw(batch["key"], x)
    inputs = ScoreInput(
        z_tgt=z,
        z_src=x,
        text_tgt=two_modes.embed(["1"]),
        text_src=two_modes.embed(["0"]),
        t=t,
        eps=eps,
        guidance_scale=1.0,
    )
    g = training.score(two_modes, inputs)
    wanted = 0.5 * g.square().sum() / 2 + 0.3 * 0.5 * (z - x).square().sum() / 2
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    (by_loss,) = torch.autograd.grad(loss, [net.net.conv_out.bias])
    # d loss / d z = (g + w (z - z_src)) / B, and every pixel's bias is the same
    assert torch.allclose(by_loss, ((g + 0.3 * (z - x)) / 2).sum((0, 2, 3)), rtol=1e-4, atol=1e-6)


def test_tasks_of_one_picture_share_its_source_and_count_alike(module, student, teacher) -> None:
    """The gradient is the mean over pictures of the mean over their tasks, for fewer rows asked."""
    # In double precision, for in single the smallest entries are rounded as the processor does.
    teacher = StableDiffusionTeacher.load(teacher.source, device="cpu", dtype="float64")
    net = student().double()
    torch.nn.init.normal_(net.net.conv_out.weight, std=0.1)
    training = module(teacher, net, guidance=2.0, identity=0.3)
    training._trainer = SimpleNamespace(estimated_stepping_batches=10, global_step=0)
    training.log = training.log_dict = lambda *_, **__: None
    pictures = torch.rand(2, 3, 32, 32, dtype=torch.float64) * 2 - 1

    def gradient(rows: list[tuple[int, int, float]]) -> tuple[list[torch.Tensor], int]:
        batch = {
            "key": [str(picture) for picture, _, _ in rows],
            "image": pictures[[picture for picture, _, _ in rows]],
            "task": torch.tensor([task for _, task, _ in rows]),
            "source": ["a cat"] * len(rows),
            "target": [("a lion", "a dog")[task] for _, task, _ in rows],
            "instruction": [""] * len(rows),
            "share": torch.tensor([share for _, _, share in rows], dtype=torch.float64),
        }
        asked = teacher.nfe
        loss = training.training_step(batch, 0)
        return list(torch.autograd.grad(loss, net.parameters())), teacher.nfe - asked

    shared, rows = gradient([(0, 0, 0.5), (0, 1, 0.5), (1, 0, 1.0)])
    alone = [gradient([(picture, task, 1.0)]) for picture, task in ((0, 0), (0, 1), (1, 0))]
    for found, a, b, c in zip(shared, *(grads for grads, _ in alone), strict=True):
        torch.testing.assert_close(found, (0.5 * a + 0.5 * b + c) / 2, rtol=1e-3, atol=1e-5)
    assert rows == 2 * (3 + 2) and sum(each for _, each in alone) == 2 * (3 + 3)


def test_noise_depends_on_seed_step_and_key_alone(module) -> None:

    training = module(seed=3)
    training._trainer = SimpleNamespace(estimated_stepping_batches=10, global_step=4)
    z = torch.zeros(3, 4, 8, 8)
    state = torch.random.get_rng_state()
    t, eps = training._draw(["a", "b", "c"], z)
    t_alone, eps_alone = training._draw(["b"], z[:1])
    assert torch.equal(state, torch.random.get_rng_state())
    assert t_alone[0] == t[1] and torch.equal(eps_alone[0], eps[1])
    training._trainer.global_step = 5
    assert not torch.equal(training._draw(["b"], z[:1])[1], eps_alone)


def test_the_teacher_is_in_no_checkpoint_and_in_no_optimizer(
    module, data, trainer, teacher, tmp_path
) -> None:
    training = module()
    assert all(name.startswith("student.") for name in training.state_dict())
    fitting = trainer(1, WeightAverage(decay=0.9), Checkpoints(tmp_path / "c"))
    fitting.fit(training, datamodule=data())
    content = torch.load(tmp_path / "c" / "last.ckpt", weights_only=True)
    for part in ("state_dict", "current_model_state"):
        assert set(content[part]) == set(training.state_dict())
    ours = {id(p) for p in training.student.parameters()}
    held = [p for group in fitting.optimizers[0].param_groups for p in group["params"]]
    assert {id(p) for p in held} == ours
    assert type(content["hyper_parameters"]) is dict
    largest = max(p.numel() for p in training.student.parameters())
    assert (tmp_path / "c" / "last.ckpt").stat().st_size < 5 * 4 * sum(
        p.numel() for p in training.student.parameters()
    ) + largest


def test_an_interrupted_training_ends_with_the_same_bits(module, data, trainer, tmp_path) -> None:
    def fit(folder, ckpt=None):
        training = module(optimizer=lambda p: torch.optim.AdamW(p, lr=1e-2))
        keeping = Checkpoints(tmp_path / folder, every_n_steps=100, keep_every_n_steps=1)
        averaging = WeightAverage(decay=0.8)
        fitting = trainer(6, averaging, keeping)
        fitting.fit(training, datamodule=data(n_train=10), ckpt_path=ckpt, weights_only=True)
        assert fitting.global_step == 6
        return torch.load(tmp_path / folder / "last.ckpt", weights_only=True)

    whole = fit("whole")
    # in the first epoch of five steps, at its end, and in the second
    for stop in (2, 5):
        torch.manual_seed(stop)
        rest = fit(f"rest{stop}", tmp_path / "whole" / f"step-{stop:06d}.ckpt")
        assert not (tmp_path / f"rest{stop}" / f"step-{stop:06d}.ckpt").exists()
        for part in ("state_dict", "current_model_state"):
            for name, value in whole[part].items():
                assert torch.equal(value, rest[part][name]), (stop, part, name)
        assert rest["nonfinite"] == whole["nonfinite"]
        assert rest["lr_schedulers"] == whole["lr_schedulers"]


def test_an_output_that_is_not_finite_stops_the_training(module, student, trainer, data) -> None:
    net = student()
    torch.nn.init.constant_(net.net.conv_out.bias, float("nan"))
    with pytest.raises(UserError, match=r"optimizer\.lr: the student's output is not finite"):
        trainer(1).fit(module(net=net), datamodule=data())


def test_non_finite_gradients_are_counted_over_all_steps(
    module, student, trainer, batches, two_modes
) -> None:
    class Broken(GaussianMixtureTeacher):
        def predict_noise(self, z_t, t, text):
            eps = super().predict_noise(z_t, t, text)
            eps[:, 0, 0, 0] = torch.nan
            return eps

    broken = Broken(two_modes.means, two_modes.stds)
    training = module(broken, student(broken, ONE))
    fitting = trainer(2)
    fitting.fit(training, batches(sources(4), "0", "1", 4))
    assert training.nonfinite == 8 and fitting.callback_metrics["train/nonfinite"] == 8


def test_checkpointing_changes_no_gradient(student, tasks) -> None:
    """What ``gradient_checkpointing=true`` turns on computes the same twice."""
    z, found = torch.randn(2, 4, 8, 8), []
    for checkpointing in (False, True):
        net = student().train()
        torch.nn.init.normal_(net.net.conv_out.weight, std=0.05, generator=torch.manual_seed(0))
        if checkpointing:
            net.net.enable_gradient_checkpointing()
        net(z, torch.tensor([0, 1])).square().sum().backward()
        found.append([weight.grad for weight in net.parameters()])
    for plain, again in zip(*found, strict=True):
        torch.testing.assert_close(plain, again)
