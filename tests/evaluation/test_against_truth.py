import pytest
import torch
import torch.nn.functional as F

from i2i_dds.critters import ATTRIBUTES
from i2i_dds.data.edits import SceneEdits, collate
from i2i_dds.errors import UserError
from i2i_dds.evaluation.against_truth import FIRST_COLUMNS, TruthMeter
from i2i_dds.evaluation.measure import Evaluator
from i2i_dds.tasks import Task, TaskSet
from i2i_dds.teacher.analytic import GaussianMixtureTeacher

TASKS = TaskSet(
    [Task("cat2lion", {"cat": "lion"}, source={"species": "cat"}, target={"species": "lion"})]
)


class Brightness:
    """A judge: the fur of bright pictures is white, and nothing else is ever seen to differ."""

    attributes = ATTRIBUTES

    def predict(self, x):
        found = {name: [values[0]] * len(x) for name, values in ATTRIBUTES.items()}
        return found | {"fur": ["white" if one.mean() > 0.9 else "grey" for one in x]}


class Words:
    """A CLIP: its direction is the mean change of the picture."""

    def direction(self, x, x_src, prompts, prompts_src):
        assert all("lion" in words for words in prompts)
        return (x - x_src).mean((1, 2, 3))


@pytest.fixture
def batch():
    data = SceneEdits(TASKS, "test", n=3, size=32)
    return collate([data[i] for i in range(3)])


@pytest.fixture
def evaluator():
    teacher = GaussianMixtureTeacher(torch.zeros(1, 3, 2, 2), torch.ones(1))
    return Evaluator(TASKS, teacher, Brightness())  # type: ignore[arg-type]


def test_the_exact_answer_has_the_best_of_all(evaluator, batch):
    found = TruthMeter(evaluator, Words())(batch, batch["truth"])
    others = {"sharpness_source", "mae_truth", "kept", "lpips_truth", "structure_source"}
    assert [set(row) for row in found] == [{*FIRST_COLUMNS, *others}] * 3
    for row in found:
        assert row["ssim_truth"] == pytest.approx(1) and row["mae_truth"] == 0
        assert row["kept"] == 1 and row["psnr_truth_gain"] > 50
        assert row["lpips_truth"] != row["lpips_truth"]  # NaN


def test_numbers_of_a_wrong_answer_by_hand(evaluator, batch):
    white = torch.ones_like(batch["image"])
    lpips = lambda x, y: (x - y).abs().amax((1, 2, 3))  # noqa: E731
    found = TruthMeter(evaluator, Words(), lpips)(batch, white)
    for i, row in enumerate(found):
        truth, source = batch["truth"][i], batch["image"][i]
        assert row["mae_truth"] == pytest.approx(((1 - truth) / 2).mean().item(), rel=1e-5)
        assert row["clip_direction"] == pytest.approx((1 - source).mean().item(), rel=1e-5)
        # of the five attributes that no task touches, the fur alone has changed
        assert row["kept"] == pytest.approx(4 / 5)
        assert row["lpips_truth"] == pytest.approx((1 - truth).max().item(), rel=1e-5)


def test_ssim_against_its_formula(evaluator, batch):
    noisy = (batch["truth"] + 0.3 * torch.randn(batch["truth"].shape)).clamp(-1, 1)
    found = TruthMeter(evaluator, Words())(batch, noisy)
    side = torch.arange(11.0, dtype=torch.float64) - 5
    line = torch.exp(-side.square() / (2 * 1.5**2))
    window = (line[:, None] * line / line.sum() ** 2).expand(3, 1, 11, 11)

    def blur(x):
        return F.conv2d(F.pad(x, (5,) * 4, mode="reflect"), window, groups=3)

    x, y = noisy.double(), batch["truth"].double()
    mx, my = blur(x), blur(y)
    vx, vy, xy = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    ssim = (2 * mx * my + c1) * (2 * xy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    for row, one in zip(found, ssim, strict=True):
        assert row["ssim_truth"] == pytest.approx(one.mean().item(), abs=1e-6)


def test_a_judge_is_needed(evaluator):
    blind = Evaluator(TASKS, evaluator.teacher, None)
    with pytest.raises(UserError, match="judge: null is not allowed"):
        TruthMeter(blind, Words())
