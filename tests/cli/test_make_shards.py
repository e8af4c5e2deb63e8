import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from i2i_dds.cli.make_shards import main
from i2i_dds.data.shards import Shards
from i2i_dds.teacher.random_weights import build_random_stable_diffusion


@pytest.fixture
def run(tmp_path: Path, repository: Path):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(repository / "scripts" / "make_shards.py"), *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)

    return run


def test_critters_of_a_task_from_the_command_line(run, tmp_path: Path) -> None:
    done = run("task=animals", "n=8", "size=16", "samples_per_shard=3", "scene.backdrop=snow")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / done.stdout.splitlines()[-1]
    assert folder == tmp_path / "data" / "shards" / "critters"
    made = list(Shards(folder))
    species = [sample["scene"]["species"] for sample in made if sample["scene"]]
    assert species == ["cat"] * 6 + ["dog"] * 2
    assert all(sample["scene"] and sample["scene"]["backdrop"] == "snow" for sample in made)
    assert made[0]["image"].size == (16, 16)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["samples"] == 8 and manifest["settings"]["n"] == 8


def test_a_folder_from_the_command_line(run, tmp_path: Path) -> None:
    (tmp_path / "my pictures").mkdir()
    Image.new("RGB", (9, 7)).save(tmp_path / "my pictures" / "a.png")
    (tmp_path / "my pictures" / "a.txt").write_text("a cat")
    done = run("source=folder", "path=my pictures", "size=8", "out=shards")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "shards"
    (sample,) = Shards(tmp_path / "shards")
    assert sample["caption"] == "a cat" and sample["image"].size == (8, 8)


def test_broken_pictures_are_passed_over_and_all_named(run, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in "abcd":
        Image.new("RGB", (9, 7)).save(tmp_path / "photos" / f"{name}.png")
        (tmp_path / "photos" / f"{name}.txt").write_text(f"a cat {name}")
    for name in "ac":
        (tmp_path / "photos" / f"{name}.png").write_bytes(b"no picture")
    done = run("source=folder", "path=photos", "size=8", "out=shards")
    assert done.returncode == 3 and done.stdout.splitlines()[-1] == "shards"
    *_, first, second, summary = done.stderr.splitlines()
    assert first.startswith("path: 'photos/a.png' cannot be read as a picture")
    assert second.startswith("path: 'photos/c.png' cannot be read as a picture")
    assert summary == "path: 2 files could not be read; all others are in the shards"
    assert [sample["caption"] for sample in Shards(tmp_path / "shards")] == ["a cat b", "a cat d"]
    manifest = json.loads((tmp_path / "shards" / "manifest.json").read_text())
    assert [one["file"] for one in manifest["unreadable"]] == ["photos/a.png", "photos/c.png"]
    for name in "bd":
        (tmp_path / "photos" / f"{name}.png").write_bytes(b"no picture")
    done = run("source=folder", "path=photos", "out=none")
    assert done.returncode == 2 and not (tmp_path / "none").exists()
    assert done.stderr.splitlines()[-1].endswith("(and none of 3 others can)")


def test_a_teachers_pictures_from_the_command_line(run, tmp_path: Path) -> None:
    build_random_stable_diffusion(tmp_path / "sd", "tiny")
    arguments = ["source=teacher", "teacher.path=sd", "teacher.device=cpu", "n=3", "steps=2"]
    done = run(*arguments, "batch_size=2", "task=cat2dog")
    assert done.returncode == 0, done.stderr
    made = list(Shards(tmp_path / "data" / "shards" / "teacher"))
    assert len(made) == 3
    assert all("cat" in sample["caption"] and sample["scene"] for sample in made)
    assert made[0]["image"].size == (64, 64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["source=web"], "source: 'web' is unknown"),
        (["n=0"], "n: 0 is not allowed"),
        (["source=folder"], "path: no folder is given"),
        (["scene.species=cow"], "species: 'cow' is unknown"),
        (["split=dev"], "split: 'dev' is unknown"),
        (["task=cat2cow"], "task: 'cat2cow' is not among"),
    ],
)
def test_mistakes_end_in_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["make_shards.py", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    assert stop.value.code == 2 and not printed.out
    assert printed.err.splitlines()[-1].startswith(f"error: {message}")
    assert not list(tmp_path.rglob("*.tar")) and not list(tmp_path.rglob("*partial*"))
