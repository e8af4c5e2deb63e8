"""Right values for any name of a file and any definition of a task."""

import json
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from i2i_dds.errors import UserError
from i2i_dds.runs import LONGEST_NAME, plain, shortened, write_json
from i2i_dds.tasks import Task, TaskSet

NAME = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=300
)
"""What a file may be called, but for its length."""

WORD = st.text(st.characters(categories=["Ll"], max_codepoint=0x17F), min_size=2, max_size=8)


@given(NAME, st.integers(20, LONGEST_NAME))
def test_a_name_that_fits_stays_and_a_longer_one_is_cut_to_fit(name: str, most: int) -> None:
    found = shortened(name, most)
    assert found == name if len(name.encode()) <= most else len(found.encode()) <= most
    assert shortened(found, most) == found and "/" not in found and "\0" not in found


@given(st.lists(NAME, min_size=2, max_size=8, unique=True), st.text("aé猫", max_size=250))
def test_different_names_stay_different_whatever_they_begin_with(names, first: str) -> None:
    assert len({shortened(first + name) for name in names}) == len(names)


@given(NAME.filter(lambda name: name not in (".", "..")))
def test_a_file_of_any_shortened_name_is_written_and_read(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{shortened(name)}.json"
        write_json(path, {"name": name})
        assert json.loads(path.read_text(encoding="utf-8")) == {"name": name}
        assert [one.name for one in Path(folder).iterdir()] == [path.name]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
KEYS = st.sampled_from(["replace", "append", "instruction", "source", "target", "_target_", "a"])


@given(ANY | st.dictionaries(KEYS, ANY, max_size=4))
def test_any_definition_of_a_task_is_one_or_refused_by_its_key(values: object) -> None:
    try:
        (task,) = TaskSet.from_mapping({"tasks": {"t": values}})
    except UserError as error:
        assert str(error).startswith("task.tasks")
        return
    assert isinstance(values, dict) and set(values) <= {
        *("replace", "append", "instruction", "source", "target")
    }
    again = {key: value for key, value in plain(vars(task)).items() if key in values}
    assert Task.from_mapping("t", again) == task


@given(WORD, WORD, st.lists(WORD, max_size=4), st.lists(WORD, max_size=4))
def test_of_any_words_one_is_put_for_the_other_and_the_rest_stays(
    old: str, new: str, before: list[str], after: list[str]
) -> None:
    task = Task("t", replace={old: new})
    rest = {*before, *after}
    assume(not any(old in word for word in rest) and not rest & {"a", "an"} and old not in rest)
    caption = " ".join([*before, old, *after])
    prompts = task.prompts(caption)
    assert prompts.source == caption
    assert prompts.target == " ".join([*before, new, *after])


@given(st.dictionaries(WORD, WORD, min_size=1, max_size=3), st.text(max_size=20))
def test_a_task_comes_back_from_its_file(replace: dict[str, str], instruction: str) -> None:
    values = {"name": "set", "tasks": {"t": {"replace": replace, "instruction": instruction}}}
    assume(instruction.encode(errors="ignore").decode() == instruction)
    text = yaml.safe_dump(values, allow_unicode=True)
    (task,) = TaskSet.from_mapping(yaml.safe_load(text))
    assert task == Task("t", replace=replace, instruction=instruction)


def test_a_name_of_half_a_character_is_refused_before_it_is_cut() -> None:
    with pytest.raises(UnicodeEncodeError):
        shortened("caf\udce9")
