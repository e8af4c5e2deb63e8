import re
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from i2i_dds.critters import ATTRIBUTES, caption, scenes
from i2i_dds.errors import UserError
from i2i_dds.tasks import Task, TaskSet, plural

CONF = Path(__file__).parents[1] / "conf"
CRITTERS = ["cat2lion", "cat2dog", "cat2tiger", "dog2fox", "day2night", "add_glasses"]
CRITTERS += ["smile2frown", "animals", "remove_glasses", "beach2snow", "edits"]
ALL_FILES = sorted(path.stem for path in (CONF / "task").glob("*.yaml"))


def shipped(name: str) -> TaskSet:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(overrides=[f"+task={name}"])
    return TaskSet.from_mapping(OmegaConf.to_container(cfg.task, resolve=True))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a cat", "an owl"),
        ("A cat by a tree", "An owl by a tree"),
        ("Cat", "Owl"),
        ("CAT", "OWL"),
        ("two cats and the cat's toy", "two owls and the owl's toy"),
        ("a caterpillar, a bobcat, a cat-like dog", "a caterpillar, a bobcat, a cat-like dog"),
        ("a  cat", "an owl"),
        ("a orange cat", "a orange owl"),  # not ours to mend
        ("a house cat", "an owl at home"),  # the longest phrase wins
        ("a House\ncat", "an Owl at home"),
    ],
)
def test_replace_is_by_whole_words_with_case_plural_and_article(before: str, after: str) -> None:
    task = Task("t", {"cat": "owl", "house cat": "owl at home"}, append="")
    assert task.prompts(before).target == after


def test_article_goes_by_sound() -> None:
    assert Task("t", {"cat": "unicorn"}).prompts("an cat").target == "a unicorn"
    assert Task("t", {"owl": "hour"}).prompts("an owl").target == "an hour"
    assert Task("t", {"orange": ""}).prompts("an orange cat").target == "a cat"


def test_taking_words_away_leaves_no_comma_behind() -> None:
    task = Task("t", {"with glasses": ""})
    assert task.prompts("a cat, with glasses, in snow").target == "a cat, in snow"
    assert task.prompts("a cat, with glasses.").target == "a cat."
    assert task.prompts("with glasses, a cat").target == "a cat"


def test_replacements_do_not_feed_each_other() -> None:
    task = Task("t", {"cat": "dog", "dog": "cat"})
    assert task.prompts("a cat and a dog").target == "a dog and a cat"


def test_append_only_where_nothing_is_replaced() -> None:
    task = Task("t", {"at noon": "at night"}, append="at night")
    assert task.prompts("a fox at noon").target == "a fox at night"
    assert task.prompts("a fox.").target == "a fox at night"
    assert Task("t", append=", at night").prompts("a fox").target == "a fox, at night"


def test_prompts_refuses_a_caption_it_cannot_rewrite() -> None:
    with pytest.raises(UserError, match=r"task\.tasks\.t\.replace: .*'cat'.*'a horse'"):
        Task("t", {"cat": "lion"}).prompts("a horse")


def test_plural() -> None:
    words = ["lion", "fox", "puppy", "monkey", "wolf"]
    assert [plural(word) for word in words] == ["lions", "foxes", "puppies", "monkeys", "wolves"]


def test_accepts_needs_every_source_attribute() -> None:
    task = Task("t", {"cat": "lion"}, source={"species": "cat", "backdrop": ("snow", "beach")})
    assert task.accepts({"species": "cat", "backdrop": "beach"})
    assert not task.accepts({"species": "cat", "backdrop": "night"})
    assert not task.accepts({"species": "dog", "backdrop": "snow"})
    assert not task.accepts({"species": "cat"})
    assert task.accepts(None, "my cat") and not task.accepts(None, "my dog")


@pytest.mark.parametrize("name", ALL_FILES)
def test_every_shipped_file_is_a_valid_set(name: str) -> None:
    tasks = shipped(name)
    assert tasks.name == name
    assert all(task.instruction for task in tasks)
    if "animals" not in name and name != "edits":
        assert tasks.names == (name,)


def test_animals_holds_its_parts_in_order() -> None:
    tasks = shipped("animals")
    assert tasks.names == ("cat2lion", "cat2dog", "cat2tiger", "dog2fox")
    assert [tasks.index(name) for name in tasks.names] == [0, 1, 2, 3]
    assert tasks[1] == shipped("cat2dog")[0]
    with pytest.raises(UserError, match="task: 'cat2cow' is not in this set"):
        tasks.index("cat2cow")


@pytest.mark.parametrize("name", CRITTERS)
def test_prompts_say_what_the_scene_and_its_counterfactual_are(name: str) -> None:
    """The target prompt is a caption the captioner gives the counterfactual itself."""
    for task in shipped(name):
        for number, scene in enumerate(scenes("train", 200, seed=5, **task.source)):
            words = caption(scene, np.random.default_rng(number))
            truth, leaves_out = task.truth(scene), "" in task.replace.values()
            if leaves_out and not task.matches(words):
                continue  # the captioner left it out already
            assert task.accepts(scene.to_dict(), words)
            assert {key for key in ATTRIBUTES if getattr(scene, key) != getattr(truth, key)} == set(
                task.target
            )
            prompts = task.prompts(words)
            assert prompts.source == words and prompts.target != words
            for attribute, before in task.source.items():
                if attribute == "species":  # named in every caption, and then in no target
                    assert truth.species in prompts.target and before not in prompts.target
            if leaves_out:  # all the other words stay, in their order
                taken = [word for word in re.split(r"[ ,]+", words) if word not in prompts.target]
                assert taken in (["wearing", "glasses"], ["with", "glasses"], ["glasses"])
                assert ",," not in prompts.target and " ," not in prompts.target
            elif task.append is None:
                # From the same random numbers the captioner draws the same words for both.
                assert prompts.target == caption(truth, np.random.default_rng(number))


@pytest.mark.parametrize(("name", "gone"), [("smile2frown", "smil|happy"), ("day2night", "meadow")])
def test_every_synonym_of_the_source_is_replaced(name: str, gone: str) -> None:
    (task,) = shipped(name)
    for number, scene in enumerate(scenes("train", 200, seed=6, **task.source)):
        target = task.prompts(caption(scene, np.random.default_rng(number))).target
        assert not re.search(gone, target)
        assert re.search("frown|angry|night", target)


def test_a_new_task_needs_one_file(tmp_path: Path) -> None:
    text = "name: fox2owl\ntasks: {fox2owl: {replace: {fox: owl}, source: {species: [fox]}}}\n"
    (tmp_path / "fox2owl.yaml").write_text(text)
    tasks = TaskSet.from_mapping(OmegaConf.to_container(OmegaConf.load(tmp_path / "fox2owl.yaml")))
    assert tasks[0].prompts("a fox").target == "an owl"
    assert tasks[0].source == {"species": ("fox",)}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("cat2lion", "task: 'cat2lion' is no task file"),
        ({"tasks": None}, "task.tasks: None is no mapping"),
        ({"tasks": {}}, "task.tasks: empty"),
        ({"name": 3, "tasks": {"a": {"append": "x"}}}, "task.name: 3 is no text"),
        ({"tasks": {"a": {"append": "x"}}, "extra": 1}, "task.extra: unknown key"),
        ({"tasks": {"a": {"replaces": {}}}}, r"task.tasks.a.replaces: unknown key"),
        ({"tasks": {"a": "b"}}, "task.tasks.a: 'b' is no task"),
        ({"tasks": {"a": {"replace": {"cat": 3}}}}, "task.tasks.a.replace.cat: 3"),
        ({"tasks": {"a": {"replace": {"": "b"}}}}, "task.tasks.a.replace.: 'b'"),
        ({"tasks": {"a": {"replace": ["cat"]}}}, "task.tasks.a.replace: .* is no mapping"),
        ({"tasks": {"a": {"append": 1}}}, "task.tasks.a.append: 1 is no text"),
        ({"tasks": {"a": {"append": "x", "source": {"s": []}}}}, r"task.tasks.a.source.s: \[\]"),
        ({"tasks": {"a": {"append": "x", "target": {"s": ["a"]}}}}, "task.tasks.a.target.s"),
        ({"tasks": {"a": {"instruction": "x"}}}, "task.tasks.a.replace: empty"),
    ],
)
def test_a_wrong_task_file_is_refused_by_key(values: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TaskSet.from_mapping(values)


def test_names_are_unique() -> None:
    with pytest.raises(UserError, match="occur twice"):
        TaskSet([Task("a", append="x"), Task("a", append="y")])
