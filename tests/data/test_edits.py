from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from i2i_dds.critters import Scene, object_mask, render
from i2i_dds.data.edits import SceneEdits, ShardEdits, accepted, collate
from i2i_dds.data.images import to_tensor
from i2i_dds.data.shards import Sample, Shards, write_shards
from i2i_dds.data.sources import critters_samples, task_scenes
from i2i_dds.errors import UserError
from i2i_dds.tasks import Task, TaskSet

LION = Task(
    "cat2lion", {"cat": "lion"}, None, "make a lion", {"species": "cat"}, {"species": "lion"}
)
DOG = Task("cat2dog", {"cat": "dog"}, None, "make a dog", {"species": "cat"}, {"species": "dog"})
FOX = Task("dog2fox", {"dog": "fox"}, None, "make a fox", {"species": "dog"}, {"species": "fox"})
NIGHT = Task(
    "night", {"meadow": "night"}, "at night", "", {"backdrop": "meadow"}, {"backdrop": "night"}
)
TASKS = TaskSet([LION, DOG, FOX])


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    folder = tmp_path_factory.mktemp("shards") / "s"
    write_shards(critters_samples(task_scenes(TASKS, "train", 30), size=16), folder, 8)
    return Shards(folder)


def test_task_scenes_are_equal_shares_and_all_different() -> None:
    made = list(task_scenes(TASKS, "train", 31, seed=2))
    assert Counter(scene.species for _, scene, _ in made) == {"cat": 20, "dog": 11}
    assert len({key for key, _, _ in made}) == len({scene for _, scene, _ in made}) == 31


def test_shard_edits_hold_the_task_and_its_prompts(shards: Shards) -> None:
    edits = ShardEdits(shards, TASKS, size=16)
    assert len(edits) == 30
    for number in range(30):
        item = edits[0, number]
        task = TASKS[item["task"]]
        assert task.accepts(item["scene"])
        assert item["image"].equal(to_tensor(render(Scene.from_dict(item["scene"]), 16)))
        prompts = task.prompts(item["caption"])
        assert (item["source"], item["target"]) == (prompts.source, prompts.target)
        assert item["instruction"] == task.instruction and item["broken"] == []


def test_tasks_are_chosen_by_seed_epoch_and_key(shards: Shards) -> None:
    def chosen(seed: int, epoch: int) -> list[int]:
        edits = ShardEdits(shards, TASKS, 16, seed)
        return [edits[epoch, number]["task"] for number in range(30)]

    assert chosen(0, 0) == chosen(0, 0)
    assert len({tuple(chosen(seed, epoch)) for seed in range(2) for epoch in range(3)}) == 6
    counts = Counter(task for epoch in range(10) for task in chosen(0, epoch))
    assert counts[2] == 100 and abs(counts[0] - counts[1]) < 60  # 200 cats, 4 deviations


def test_a_batch_may_have_several_tasks_of_each_picture(shards: Shards) -> None:
    edits = ShardEdits(shards, TASKS, 16, tasks_per_picture=2)
    places = [(1, number) for number in range(30)]
    rows = edits.__getitems__(places)
    by_key: dict[str, list[dict]] = {}
    for row in rows:
        by_key.setdefault(row["key"], []).append(row)
    firsts = [edits[place] for place in places]
    assert list(by_key) == [first["key"] for first in firsts]
    for first, found in zip(firsts, by_key.values(), strict=True):
        known = {"cat": {0, 1}, "dog": {2}}[first["scene"]["species"]]
        assert found[0]["task"] == first["task"] and {row["task"] for row in found} == known
        assert [row["share"].item() for row in found] == [1 / len(known)] * len(known)
        assert all(
            row["target"] == TASKS[row["task"]].prompts(row["caption"]).target for row in found
        )
    assert [row["share"].item() for row in ShardEdits(shards, TASKS, 16).__getitems__(places)] == [
        1
    ] * 30


def test_pictures_of_another_size_are_fitted(shards: Shards) -> None:
    assert ShardEdits(shards, TASKS, 8)[0, 0]["image"].shape == (3, 8, 8)


def test_a_broken_picture_gives_way_to_the_next(shards: Shards, tmp_path: Path) -> None:
    made = list(critters_samples(task_scenes(TASKS, "train", 6), size=16))
    write_shards(made, tmp_path / "s")
    broken = Shards(tmp_path / "s")
    for number in (1, 2):
        broken.records[number].size = 20
    edits = ShardEdits(broken, TASKS, 16)
    assert edits[0, 1]["key"] == made[3]["key"]
    names = [f"shard-00000.tar:{made[number]['key']}" for number in (1, 2)]
    assert edits[0, 1]["broken"] == names
    assert collate([edits[0, 1], edits[0, 0]])["broken"] == names
    for record in broken.records:
        record.size = 20
    edits.max_broken = 3
    assert len(edits[0, 0]["broken"]) == 4  # more than allowed: the loader will stop
    assert (edits[0, 0]["image"] == -1).all()


def test_accepted_needs_scene_and_caption(shards: Shards, tmp_path: Path) -> None:
    assert accepted(shards, TaskSet([FOX])) == list(range(20, 30))
    with pytest.raises(UserError, match="none of the 30 pictures .* is a source of task night"):
        none = Task("night", NIGHT.replace, None, "", {"backdrop": "moon"})
        accepted(shards, TaskSet([none]))
    photos = [
        Sample(key=f"p{i}", image=Image.new("RGB", (4, 4)), caption=words, scene=None)
        for i, words in enumerate(["my cat", "my horse", "two cats"])
    ]
    write_shards(photos, tmp_path / "s")
    assert accepted(Shards(tmp_path / "s"), TaskSet([LION])) == [0, 2]


def test_scene_edits_hold_the_exact_counterfactual() -> None:
    edits = SceneEdits(TASKS, "test", 4, size=32)
    assert len(edits) == 12 and len({edits[i]["key"] for i in range(12)}) == 12
    for number in range(12):
        item = edits[number]
        scene = Scene.from_dict(item["scene"])
        task = TASKS[number // 4]
        assert item["task"] == number // 4
        assert item["image"].equal(to_tensor(render(scene, 32)))
        assert item["truth"].equal(to_tensor(render(task.truth(scene), 32)))
        assert not item["image"].equal(item["truth"])
        assert item["mask"].shape == (1, 32, 32) and 0 < item["mask"].mean() < 1
        outside = (item["mask"] == 0).expand(3, -1, -1)
        assert item["image"][outside].equal(item["truth"][outside])


def test_scenes_of_a_task_do_not_depend_on_the_set() -> None:
    alone, among = SceneEdits(TaskSet([DOG]), "val", 3), SceneEdits(TASKS, "val", 3)
    assert [among[3 + i]["key"] for i in range(3)] == [alone[i]["key"] for i in range(3)]
    assert [among[3 + i]["caption"] for i in range(3)] == [alone[i]["caption"] for i in range(3)]


def test_splits_are_disjoint() -> None:
    scenes = {
        split: {str(SceneEdits(TaskSet([LION]), split, 5)[i]["scene"]) for i in range(5)}
        for split in ("train", "val", "test")
    }
    assert len(scenes["train"] | scenes["val"] | scenes["test"]) == 15


def test_the_mask_of_a_backdrop_edit_leaves_the_animal_out() -> None:
    item = SceneEdits(TaskSet([NIGHT]), "val", 1, size=32)[0]
    animal = np.array(object_mask(Scene.from_dict(item["scene"]), 32)) == 255
    assert (item["mask"][0].numpy()[animal] == 0).all() and item["mask"].mean() > 0.3


def test_scene_edits_use_only_captions_the_task_can_rewrite() -> None:
    frown = {"expression": "frowning"}
    smile = Task("s", {"happy": "sad"}, None, "", {"expression": "smiling"}, frown)
    edits = SceneEdits(TaskSet([smile]), "val", 10)
    assert all("happy" in edits[i]["caption"] for i in range(10))
    with pytest.raises(UserError, match=r"task.tasks.s.replace: its words occur in only 0 of 32"):
        SceneEdits(TaskSet([Task("s", {"cow": "ox"}, target=frown)]), "val", 2)


def test_scene_edits_refuse_no_scenes_and_unknown_splits() -> None:
    with pytest.raises(UserError, match="n: 0 is not allowed"):
        SceneEdits(TASKS, "val", 0)
    with pytest.raises(UserError, match="split: 'dev' is unknown"):
        SceneEdits(TASKS, "dev", 1)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="task.tasks.s.target: none is given, so no Critters scene"):
        SceneEdits(TaskSet([Task("s", {"cat": "ox"})]), "val", 1)


def test_collate_makes_batches() -> None:
    edits = SceneEdits(TASKS, "test", 2, size=8)
    batch = collate([edits[i] for i in range(6)])
    assert batch["image"].shape == batch["truth"].shape == (6, 3, 8, 8)
    assert batch["mask"].shape == (6, 1, 8, 8)
    assert batch["task"].equal(torch.tensor([0, 0, 1, 1, 2, 2]))
    assert batch["target"] == [edits[i]["target"] for i in range(6)]
    assert isinstance(batch["scene"][0], dict)
