"""The weights in the package do what the package says of them, on a few held-out scenes."""

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPModel, CLIPTokenizer

from i2i_dds import pocket
from i2i_dds.critters import SPECIES
from i2i_dds.data.edits import SceneEdits, collate
from i2i_dds.diffusion.randomness import item_generators, randn
from i2i_dds.editing.batches import EditItem, edit_items
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.evaluation.measure import Evaluator
from i2i_dds.evaluation.summary import Evaluation
from i2i_dds.metrics.image import psnr
from i2i_dds.metrics.judge import Judge
from i2i_dds.pretrain.stages import held_out
from i2i_dds.tasks import Task, TaskSet
from i2i_dds.teacher.sample import sample
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

CAPTIONS = ["a happy golden lion on the beach", "a grey rabbit with a hat at night"]


@pytest.fixture(scope="module")
def teacher() -> StableDiffusionTeacher:
    return StableDiffusionTeacher.load("pocket", device="cpu")


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge.load(pocket.directory() / "judge")


def test_all_weights_together_stay_small() -> None:
    folder = Path(pocket.__file__).parent
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in files) <= 60e6
    assert {
        path.parent.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors")
    } == {
        *("teacher/unet", "teacher/vae", "teacher/text_encoder", "clip", "judge", "flow/judge"),
        *("flow/teacher/transformer", "flow/teacher/vae"),
        *("flow/teacher/text_encoder", "flow/teacher/text_encoder_2"),
    }


def test_the_judge_knows_renders_and_reconstructions(teacher, judge) -> None:
    corpus = held_out(64)
    x = corpus.images(torch.arange(64))
    y = teacher.decode(teacher.encode(x))
    assert psnr(y, x).mean() > 27
    for pictures in (x, y):
        found = judge.predict(pictures)["species"]
        right = [a == s.species for a, s in zip(found, corpus.scenes, strict=True)]
        assert sum(right) >= 62


def test_diffusers_draws_the_same_picture(teacher, judge) -> None:
    """Stable Diffusion's own pipeline on the same folder, from the same noise."""
    pipe = StableDiffusionPipeline.from_pretrained(
        pocket.directory() / "teacher", dtype=torch.float32, safety_checker=None
    )
    pipe.set_progress_bar_config(disable=True)
    ours = sample(teacher, CAPTIONS, item_generators(0, [0, 1]), 30, 4.0)
    theirs = pipe(
        CAPTIONS,
        num_inference_steps=30,
        guidance_scale=4.0,
        latents=randn(item_generators(0, [0, 1]), (4, 16, 16)),
        output_type="pt",
    ).images
    torch.testing.assert_close((ours + 1) / 2, theirs, atol=2e-3, rtol=0)
    assert judge.predict(ours)["species"] == ["lion", "rabbit"]


def test_clip_tells_species_apart() -> None:
    folder, corpus = pocket.directory() / "clip", held_out(48)
    clip = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    words = CLIPTokenizer.from_pretrained(folder)(
        [f"{'an' if s[0] in 'aeiou' else 'a'} {s}" for s in SPECIES],
        padding="max_length",
        return_tensors="pt",
    )
    with torch.no_grad():
        logits = clip(
            input_ids=words["input_ids"], pixel_values=corpus.images(torch.arange(48))
        ).logits_per_image
    right = [SPECIES[i] == s.species for i, s in zip(logits.argmax(1), corpus.scenes, strict=True)]
    assert sum(right) >= 40


def test_a_cat_becomes_a_lion_and_the_backdrop_stays(teacher, judge) -> None:
    cat, lion = {"species": "cat"}, {"species": "lion"}
    tasks = TaskSet([Task("cat2lion", {"cat": "lion"}, source=cat, target=lion)])
    scenes = [SceneEdits(tasks, "val", 6)[i] for i in range(6)]
    items = [EditItem(s["key"], s["key"], s["image"], s["source"], s["target"]) for s in scenes]
    editor = LatentOptimization(steps=40, lr=0.15, guidance_scale=3.0)
    (edited,) = edit_items(editor, teacher, items, seed=0, batch_size=6)
    rows = Evaluator(tasks, teacher, judge)(collate(scenes), edited.x)
    found = Evaluation(tuple(rows)).metrics()
    assert found["success"] >= 4 / 6
    assert found["psnr_truth_gain"] > 1
    assert found["psnr_backdrop"] > 20
