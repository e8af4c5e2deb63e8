from types import SimpleNamespace

import pytest
import torch

from i2i_dds.editing.automask import AutoMask
from i2i_dds.errors import UserError
from i2i_dds.evaluation.measure import Evaluator
from i2i_dds.evaluation.metric import Networks
from i2i_dds.evaluation.photographs import Photographs, load_photographs

X = torch.rand(2, 3, 32, 32) * 2 - 1


@pytest.fixture
def batch():
    return {
        "key": ["a", "b"],
        "image": X,
        "task": torch.tensor([0, 1]),
        "source": ["a cat", "a big cat"],
        "target": ["a lion", "a big dog"],
    }


def test_photographs_have_a_background_where_the_teacher_sees_no_edit(
    batch, teacher, tasks
) -> None:
    photographs = Photographs()
    mask = photographs.masks(teacher, batch)
    assert mask.shape == (2, 1, 32, 32) and set(mask.unique().tolist()) == {0.0, 1.0}
    asked = teacher.nfe
    assert torch.equal(photographs.masks(teacher, batch), mask) and teacher.nfe == asked
    alone = {name: values[1:] for name, values in batch.items()}
    assert torch.equal(Photographs().masks(teacher, alone), mask[1:])
    evaluator = Evaluator(tasks, teacher, photographs=photographs)
    recon = teacher.decode(teacher.encode(X))
    inside, outside = (recon + 0.5 * where for where in (mask, 1 - mask))
    kept = [row["psnr_backdrop"] for row in evaluator(batch, inside)]
    lost = [row["psnr_backdrop"] for row in evaluator(batch, outside)]
    assert min(kept) > 100 and max(lost) < 20
    assert all(row["psnr_source"] < 30 for row in evaluator(batch, inside))


def test_scenes_with_a_truth_are_measured_as_ever(batch, teacher, tasks) -> None:
    known = {**batch, "truth": X, "mask": torch.ones(2, 1, 32, 32)}
    (row, _) = Evaluator(tasks, teacher, photographs=Photographs())(known, X)
    assert "psnr_source" not in row.values and row["psnr_truth"] > 100


def test_networks_add_their_metrics(batch, teacher, tasks) -> None:
    def far(x, y):
        return (x - y).abs().mean((1, 2, 3))

    def direction(x, x_src, prompts, prompts_src):
        assert list(prompts) == batch["target"] and list(prompts_src) == batch["source"]
        return torch.tensor([0.25, 0.5])

    networks = Networks(SimpleNamespace(direction=direction), lpips=far, structure=far)
    (row, other) = Evaluator(tasks, teacher, photographs=Photographs(networks))(batch, X)
    assert (row["clip_direction"], other["clip_direction"]) == (0.25, 0.5)
    assert row["lpips_source"] == row["structure_source"] == 0
    plain = Evaluator(tasks, teacher, photographs=Photographs())(batch, X)[0]
    assert {*row.values} - {*plain.values} == {
        *("clip_direction", "lpips_source", "structure_source")
    }


def test_masks_may_be_found_otherwise(batch, teacher) -> None:
    small = Photographs(automask=AutoMask(threshold=0.99)).masks(teacher, batch)
    assert small.mean() < Photographs().masks(teacher, batch).mean()


def test_networks_are_named_and_loaded_once(tmp_path) -> None:
    assert load_photographs() == Photographs()
    assert load_photographs("pocket").networks is load_photographs("pocket").networks
    assert [m.name for m in load_photographs("pocket").metrics] == ["psnr_source", "clip_direction"]
    with pytest.raises(UserError, match="clip: .* holds no CLIP"):
        load_photographs(str(tmp_path))
