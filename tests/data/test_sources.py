import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from i2i_dds.critters import render, scenes
from i2i_dds.data.folders import folder_samples
from i2i_dds.data.sources import (
    captioned_scenes,
    critters_samples,
    teacher_samples,
)
from i2i_dds.errors import UserError
from i2i_dds.teacher.analytic import GaussianMixtureTeacher


def test_critters_samples_are_the_worlds_scenes() -> None:
    made = list(critters_samples(captioned_scenes("val", 4, 1, species="cat"), size=16))
    wanted = scenes("val", 4, 1, species="cat")
    assert [sample["scene"] for sample in made] == [scene.to_dict() for scene in wanted]
    for sample, scene in zip(made, wanted, strict=True):
        assert np.array_equal(np.array(sample["image"]), np.array(render(scene, 16)))
        assert "cat" in sample["caption"]


def test_a_caption_depends_on_its_scenes_number_alone() -> None:
    whole = list(captioned_scenes("train", 6, 3))
    assert list(captioned_scenes("train", 2, 3, start=4)) == whole[4:]
    assert len({caption for _, _, caption in whole}) > 1


def pictures(folder: Path) -> None:
    for name, grey in (("b.png", 20), ("a.jpg", 200)):
        Image.new("RGB", (12, 8), (grey,) * 3).save(folder / name)


def test_folder_samples_with_text_files(tmp_path: Path) -> None:
    pictures(tmp_path)
    (tmp_path / "a.txt").write_text(" a grey cat \n")
    (tmp_path / "b.txt").write_text("a dark cat")
    made = list(folder_samples(tmp_path, size=4))
    assert [sample["caption"] for sample in made] == ["a grey cat", "a dark cat"]
    assert [sample["image"].size for sample in made] == [(4, 4)] * 2
    assert len({sample["key"] for sample in made}) == 2
    assert next(folder_samples(tmp_path))["image"].size == (12, 8)


@pytest.mark.parametrize(
    ("name", "word"), [("metadata.jsonl", "text"), ("captions.jsonl", "caption")]
)
def test_folder_samples_with_a_list(tmp_path: Path, name: str, word: str) -> None:
    pictures(tmp_path)
    lines = [{"file_name": "b.png", word: "two"}, {"file_name": "a.jpg", word: "one"}]
    (tmp_path / name).write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    assert [sample["caption"] for sample in folder_samples(tmp_path)] == ["one", "two"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no json", "line 1 of '.*metadata.jsonl' is wrong"),
        ('["a.jpg"]', "line 1"),
        ('{"file_name": "a.jpg"}', "line 1"),
        ('{"file_name": "../a.jpg", "text": "x"}', "leaves its folder"),
        ('{"file_name": "/etc/a.jpg", "text": "x"}', "leaves its folder"),
        ('{"file_name": "c.jpg", "text": "x"}', "'.*c.jpg', line 1 of .* does not exist"),
    ],
)
def test_a_wrong_list_is_refused(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "metadata.jsonl").write_text(line)
    with pytest.raises(UserError, match=f"^path: .*{message}"):
        list(folder_samples(tmp_path))


def test_folder_samples_refuse_missing_captions_and_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="path: .* is no folder"):
        list(folder_samples(tmp_path / "none"))
    pictures(tmp_path)
    with pytest.raises(UserError, match="caption: 2 of the 2 pictures of '.*' have none"):
        list(folder_samples(tmp_path))
    assert [sample["caption"] for sample in folder_samples(tmp_path, caption="c")] == ["c", "c"]


def test_teacher_samples_do_not_depend_on_the_batch_size() -> None:
    means = torch.tensor([-0.5, 0.5], dtype=torch.float64).reshape(2, 1, 1, 1)
    teacher = GaussianMixtureTeacher(means.expand(2, 3, 2, 2), torch.full((2,), 0.01))
    prompts = [("0", None), ("1", {"species": "cat"}), ("0", None)]
    small, large = (
        list(teacher_samples(teacher, prompts, 5, 2, steps=10, guidance_scale=1.0, batch_size=size))
        for size in (2, 8)
    )
    for a, b in zip(small, large, strict=True):
        assert (a["key"], a["caption"], a["scene"]) == (b["key"], b["caption"], b["scene"])
        assert np.array_equal(np.array(a["image"]), np.array(b["image"]))
    assert [np.array(sample["image"]).mean() > 127 for sample in small] == [False, True, False]
    assert small[1]["scene"] == {"species": "cat"}
    with pytest.raises(UserError, match="batch_size: 0"):
        list(teacher_samples(teacher, prompts, batch_size=0))


@pytest.mark.parametrize("name", ["a.txt", "metadata.jsonl"])
def test_an_editors_mark_is_no_part_of_a_caption_and_other_encodings_are_named(
    tmp_path: Path, name: str
) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    words = {
        "a.txt": "a caf\u00e9 cat",
        "metadata.jsonl": '{"file_name": "a.png", "text": "a caf\u00e9 cat"}',
    }
    (tmp_path / name).write_bytes(words[name].encode("utf-8-sig"))
    assert [sample["caption"] for sample in folder_samples(tmp_path)] == ["a caf\u00e9 cat"]
    (tmp_path / name).write_bytes(words[name].encode("latin-1"))
    with pytest.raises(UserError, match=rf"^path: '.*{name}' is not UTF-8 \(byte \d+\); save it"):
        list(folder_samples(tmp_path))


def test_a_key_is_of_the_pictures_name_and_no_later_picture_moves_it(tmp_path: Path) -> None:
    def keys() -> dict[str, str]:
        return {sample["caption"]: sample["key"] for sample in folder_samples(tmp_path)}

    for name in ("b cat", "c", "c!"):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(name)
    before = keys()
    assert before["b cat"].startswith("b-cat-") and len(set(before.values())) == 3
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("a")
    assert {name: key for name, key in keys().items() if name != "a"} == before
