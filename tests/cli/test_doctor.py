"""``i2i doctor``: a line for each thing it looks at, and nothing changed."""

from pathlib import Path

import pytest

from i2i_dds import __version__
from i2i_dds.cli import doctor
from i2i_dds.cli.doctor import main


@pytest.fixture
def lines(typed):
    """What it says, by the name in front; of a name that comes twice, both."""

    def lines(*arguments: str) -> dict[str, list[str]]:
        done = typed(main, *arguments, teacher=False)
        assert done.code == 0 and done.out.split()
        found: dict[str, list[str]] = {}
        for line in done.err.splitlines():
            found.setdefault(line[:18].strip(), []).append(line[19:])
        return found

    return lines


def test_what_is_installed_and_where_there_is_room(lines, tmp_path: Path) -> None:
    found = lines()
    assert found["i2i-dds"] == [__version__]
    assert {"python", "torch", "device", "threads", "W&B key"} <= found.keys()
    assert [found[name][0].split()[2] for name in ("outputs", "multirun", "data")] == ["free"] * 3
    assert found["pocket teacher"] == found["pocket judge"] == ["loads"]
    assert found["left behind"] == ["nothing"]
    assert not list(tmp_path.iterdir())


def test_an_extra_is_here_or_says_how_to_get_it(lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_has", lambda package: package != "lpips")
    found = lines()
    assert found["extra app"] == ["is here"]
    assert found["extra lpips"] == ["lacks lpips; pip install 'i2i-dds[lpips]'"]
    assert "extra dev" not in found


def test_a_model_in_the_hubs_cache_says_what_to_type(
    lines, tmp_path_factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path_factory.mktemp("hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache / "none"))
    (told,) = lines()["hub's cache"]
    assert told.startswith(f"has none ({cache / 'none'}); teacher=sd15 downloads one")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    for name, pipeline in (("xl", "StableDiffusionXLPipeline"), ("tts", "SpeechPipeline")):
        snapshot = cache / f"models--me--{name}" / "snapshots" / ("a" * 40)
        snapshot.mkdir(parents=True)
        (snapshot / "model_index.json").write_text(f'{{"_class_name": "{pipeline}"}}')
    told = lines()["hub's cache"]
    assert told[0].startswith("me/tts is a SpeechPipeline, no teacher, ")
    assert told[1].startswith("teacher=sdxl teacher.path=me/xl, ")


def test_what_killed_runs_left_is_named_and_stays(lines, tmp_path: Path) -> None:
    left = tmp_path / "outputs" / "edit" / "run.partial-999999999"
    left.mkdir(parents=True)
    (left / "half.png").write_bytes(b"1234")
    (found,) = lines()["left behind"]
    assert found.startswith(f"'{left.relative_to(tmp_path)}' (4 bytes) by a run that did not end")
    assert (left / "half.png").read_bytes() == b"1234"


def test_a_model_that_does_not_load_is_named_with_its_folder(
    lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("I2I_DDS_POCKET", str(tmp_path / "nowhere"))
    found = lines()
    for name in ("teacher", "judge", "clip"):
        assert found[f"pocket {name}"][0].startswith("does not load: ")
        assert f"'{tmp_path / 'nowhere'}' holds no pocket weights" in found[f"pocket {name}"][0]
    assert found["left behind"] == ["nothing"]  # it goes on
