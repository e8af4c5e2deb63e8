import math

import pytest
import torch

from i2i_dds.critters import ATTRIBUTES
from i2i_dds.data.edits import SceneEdits, collate
from i2i_dds.errors import UserError
from i2i_dds.evaluation.measure import Evaluator, load_judge
from i2i_dds.metrics.image import psnr, sharpness
from i2i_dds.metrics.judge import Judge
from i2i_dds.tasks import Task, TaskSet
from i2i_dds.teacher.analytic import GaussianMixtureTeacher

TASKS = TaskSet(
    [
        Task("cat2lion", {"cat": "lion"}, source={"species": "cat"}, target={"species": "lion"}),
        Task(
            "day2night",
            append="at night",
            source={"backdrop": "meadow"},
            target={"backdrop": "night"},
        ),
    ]
)
CAP = 10 * math.log10(4e10)


class AlwaysLion:
    def predict(self, x):
        return {"species": ["lion"] * len(x), "backdrop": ["snow"] * len(x)}


class Blurring(GaussianMixtureTeacher):
    """A teacher whose autoencoder is known: reconstructions are the picture scaled by 0.9."""

    def decode(self, z):
        return 0.9 * z


@pytest.fixture
def batch():
    data = SceneEdits(TASKS, "test", n=2, size=32)
    return collate([data[i] for i in range(4)])


@pytest.fixture
def evaluator():
    return Evaluator(TASKS, Blurring(torch.zeros(1, 3, 2, 2), torch.ones(1)), AlwaysLion())


def test_the_exact_answer(evaluator, batch):
    rows = evaluator(batch, batch["truth"], seconds=0.5)
    assert [row.key for row in rows] == batch["key"]
    assert [row.task for row in rows] == ["cat2lion"] * 2 + ["day2night"] * 2
    assert [row["success"] for row in rows] == [1, 1, 0, 0]
    assert [row["psnr_truth"] for row in rows] == [pytest.approx(CAP)] * 4
    assert [row.seconds for row in rows] == [0.5] * 4
    x, truth = batch["image"], batch["truth"]
    assert [row["psnr_truth_source"] for row in rows] == psnr(x, truth).tolist()
    recon = [row["psnr_truth_source_recon"] for row in rows]
    assert recon == psnr(0.9 * x, truth).tolist()
    assert [row["sharpness"] for row in rows] == sharpness(truth).tolist()
    assert [row["sharpness_source"] for row in rows] == sharpness(x).tolist()


def test_backdrop_is_compared_with_the_reconstruction_where_nothing_should_change(evaluator, batch):
    recon, mask = 0.9 * batch["image"], batch["mask"]
    elsewhere = torch.where(mask > 0, torch.ones_like(recon), recon)
    rows = evaluator(batch, elsewhere)
    assert [row["psnr_backdrop"] for row in rows] == [pytest.approx(CAP)] * 4
    # 20 log10(2 / 0.2) = 20 dB, wherever it is that the task should not touch
    rows = evaluator(batch, torch.where(mask > 0, elsewhere, recon + 0.2))
    assert [row["psnr_backdrop"] for row in rows] == [pytest.approx(20, abs=1e-4)] * 4
    # For cat2lion the corner is kept; for day2night the animal in the middle is.
    assert mask[0, 0, 0, 0] == 0 and mask[2, 0, 0, 0] == 1 and mask[2, 0, 18, 16] == 0


def test_photographs_have_no_truth(batch):
    photos = {name: batch[name] for name in ("key", "image", "task")}
    (row, *_) = Evaluator(TASKS, Blurring(torch.zeros(1, 3, 2, 2), torch.ones(1)))(
        photos, batch["image"]
    )
    missing = (row["success"], row["psnr_truth"], row["psnr_truth_source"], row["psnr_backdrop"])
    assert all(map(math.isnan, missing)) and row["sharpness"] == row["sharpness_source"]


def test_a_target_that_the_judge_does_not_know_is_refused(evaluator, batch):
    tasks = TaskSet([Task("turn", append="mirrored", target={"mirrored": "yes"})])
    batch = {**batch, "task": torch.zeros(4, dtype=torch.long)}
    with pytest.raises(UserError, match=r"task.tasks.turn.target.mirrored: the judge does not"):
        Evaluator(tasks, evaluator.teacher, evaluator.judge)(batch, batch["image"])


def test_a_judge_is_loaded_from_a_folder_or_missed(tmp_path, monkeypatch):
    Judge({"species": ATTRIBUTES["species"]}, width=8).save_pretrained(tmp_path / "judge")
    judge = load_judge(tmp_path / "judge")
    assert judge is not None
    assert set(judge.predict(torch.zeros(2, 3, 64, 64))) == {"species"}
    monkeypatch.setenv("I2I_DDS_POCKET", str(tmp_path))
    assert load_judge("pocket") is not None and load_judge(None) is None
    with pytest.raises(UserError, match="^judge: '.*nowhere' holds no judge; give"):
        load_judge(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="^judge: '.*empty' holds no judge; give"):
        load_judge(tmp_path / "empty")
