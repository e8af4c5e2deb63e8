"""`teacher=auto` finds the family's file before the settings are composed."""

import json

import pytest

from i2i_dds.cli.family import name_family
from i2i_dds.errors import UserError


@pytest.fixture
def folder(tmp_path):
    def made(pipeline):
        (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
        return str(tmp_path)

    return made


@pytest.mark.parametrize(
    ("pipeline", "choice"),
    [("StableDiffusionPipeline", "sd15"), ("StableDiffusion3Pipeline", "sd35")],
)
def test_the_choice_takes_the_place_of_auto(folder, pipeline, choice):
    path = f"teacher.path={folder(pipeline)}"
    assert name_family(["teacher=auto", path, "seed=1"]) == [f"teacher={choice}", path, "seed=1"]


def test_the_pockets_are_known_by_name():
    for name in ("pocket", "pocket_flow"):
        path = f"teacher.path={name}"
        assert name_family([path, "teacher=auto"]) == [path, f"teacher={name}"]


def test_nothing_else_is_touched():
    assert name_family(["teacher=sd15", "seed=1"]) == ["teacher=sd15", "seed=1"]


def test_what_cannot_be_told_is_refused(folder, tmp_path):
    with pytest.raises(UserError, match="^teacher.path: teacher=auto wants one"):
        name_family(["teacher=auto"])
    with pytest.raises(UserError, match="^teacher.path: 'some/model' holds no model_index.json"):
        name_family(["teacher=auto", "teacher.path=some/model"])
    with pytest.raises(UserError, match="^teacher.path: '.*' is a KolorsPipeline; give one of"):
        name_family(["teacher=auto", f"teacher.path={folder('KolorsPipeline')}"])
