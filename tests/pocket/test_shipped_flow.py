"""The second teacher in the package does what the package says of it, on a few held-out scenes."""

import pytest
import torch

from i2i_dds.critters import SPECIES
from i2i_dds.data.edits import SceneEdits, collate
from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.editing.interface import EditBatch, finish
from i2i_dds.evaluation.measure import Evaluator, load_judge
from i2i_dds.evaluation.summary import Evaluation
from i2i_dds.metrics.image import psnr
from i2i_dds.pipelines.editors import build_editor
from i2i_dds.pretrain.stages import held_out
from i2i_dds.tasks import Task, TaskSet
from i2i_dds.teacher.load import load_teacher
from i2i_dds.teacher.sample import sample
from i2i_dds.teacher.stable_diffusion3 import StableDiffusion3Teacher


@pytest.fixture(scope="module")
def teacher():
    return load_teacher("pocket_flow", device="cpu")


@pytest.fixture(scope="module")
def judge():
    return load_judge("pocket_flow")


def test_it_is_a_flow_at_128_px(teacher, judge) -> None:
    assert type(teacher) is StableDiffusion3Teacher
    assert teacher.native_size == 128 and teacher.latent_channels == 16
    assert judge.config["size"] == 128


def test_its_judge_knows_renders_and_reconstructions(teacher, judge) -> None:
    corpus = held_out(48, size=128)
    x = corpus.images(torch.arange(48))
    y = teacher.decode(teacher.encode(x))
    assert psnr(y, x).mean() > 27
    for pictures in (x, y):
        found = judge.predict(pictures)["species"]
        assert sum(a == s.species for a, s in zip(found, corpus.scenes, strict=True)) >= 46


def test_it_draws_every_species(teacher, judge) -> None:
    prompts = [f"a happy {species} on the beach" for species in SPECIES]
    drawn = sample(teacher, prompts, item_generators(0, range(len(prompts))), 20, 4.0, 128)
    found = judge.predict(drawn.cpu())["species"]
    assert sum(a == b for a, b in zip(found, SPECIES, strict=True)) >= len(SPECIES) - 2


@torch.no_grad()
def test_its_preset_turns_cats_into_lions(teacher, judge) -> None:
    task = Task("cat2lion", {"cat": "lion"}, source={"species": "cat"}, target={"species": "lion"})
    tasks = TaskSet([task])
    dataset = SceneEdits(tasks, "val", 6, 0, 128)
    batch = collate([dataset[i] for i in range(6)])
    latents = teacher.encode(batch["image"])
    texts = teacher.embed(batch["source"]), teacher.embed(batch["target"])
    given = EditBatch(latents, *texts, item_generators(0, batch["key"]))
    edited = finish(build_editor("zero_shot", teacher.presets)[0](teacher, given))
    rows = Evaluator(tasks, teacher, judge)(batch, teacher.decode(edited.z))
    metrics = Evaluation(tuple(rows), 0).metrics()
    assert metrics["success"] >= 5 / 6
    assert metrics["psnr_truth_gain"] > 1.5 and metrics["psnr_backdrop"] > 20
