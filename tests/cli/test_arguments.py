"""The command line before Hydra reads it."""

import random
import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from i2i_dds.cli.app import config_dir
from i2i_dds.cli.arguments import checked, quote_text
from i2i_dds.cli.root import Root
from i2i_dds.errors import UserError


@pytest.fixture
def train(repository: Path) -> Root:
    return Root(repository / "conf" / "train.yaml")


def refusal(arguments: list[str], root: Root) -> str:
    with pytest.raises(UserError) as caught:
        checked(arguments, root)
    return str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--task cat2lion", "--task: options are written key=value; give task=cat2lion"),
        ("--task=cat2lion", "--task=cat2lion: options are written key=value; give task=cat2lion"),
        ("--task seed=3", "--task: options are written key=value; give task=<value>"),
        ("--task -m", "--task: options are written key=value; give task=<value>"),
        ("--seed -3", "--seed: options are written key=value; give seed=-3"),
        ("-s3 3", "-s3: options are written key=value; give s3=3"),
        (
            "seed=3 --max-steps 3 --task cat2lion",
            "--max-steps, --task: options are written key=value; "
            "give trainer.max_steps=3 task=cat2lion",
        ),
        (
            "task=cat2lion --zero_shot.lr=1",
            "--zero_shot.lr=1: options are written key=value; give zero_shot.lr=1",
        ),
        (  # without a task there is no config to find the key in
            "--max_steps 3",
            "--max_steps: options are written key=value; give max_steps=3",
        ),
        ("cat2lion", "'cat2lion': options are written key=value; give task=cat2lion"),
        ("task cat2lion", "'task': options are written key=value; give task=<value>"),
        (
            "task=cat2lion lion",
            "'lion': options are written key=value, with 'quotes' round a text of several words",
        ),
        ("=3", "'=3': options are written key=value, with 'quotes' round a text of several words"),
        ("--cfg", "argument --cfg/-c: expected one argument"),
        ("-m --cfg job", "--multirun and --cfg exclude each other; give one of them"),
    ],
)
def test_refused(arguments: str, sentence: str, train: Root) -> None:
    assert refusal(arguments.split(), train) == sentence


def test_picture_is_for_the_key_image_where_there_is_one(
    repository: Path, tmp_path: Path, train: Root
) -> None:
    picture = tmp_path / "a cat.png"
    edit = Root(repository / "conf" / "edit.yaml")
    quotes = ", with 'quotes' round a text of several words"
    written = f"'{picture}': options are written key=value"
    assert refusal([str(picture)], edit) == written + quotes
    picture.touch()
    assert refusal([str(picture)], edit) == f"{written}; give 'image={picture}'"
    assert refusal([str(picture)], train) == written + quotes


@pytest.mark.parametrize(
    "arguments",
    [
        *("", "-m task=cat2lion,cat2dog", "--multirun seed=1", "--help", "-h", "seed=1 -h"),
        *("--hydra-help", "--cfg job", "-c job --resolve", "--cfg=job --package seed -p seed"),
        *("--info", "-i", "-i defaults", "--info searchpath", "--run", "-r", "--multi seed=1"),
        *("--config-path a", "-cp a", "--config-name a", "-cn a", "--config-dir a", "-cd a"),
        *("--experimental-rerun a", "--shell-completion install=bash", "-sc query=bash"),
        *("+a=1 ++a.b=2 ~task ~task=a seed=", "editor@zero_shot=a hydra/launcher=b prompt=a=b"),
    ],
)
def test_what_hydra_reads_is_left_alone(arguments: str, train: Root) -> None:
    assert checked(arguments.split(), train) == arguments.split()


def test_version_is_still_hydras(train: Root, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        checked(["--version"], train)
    assert capsys.readouterr().out.startswith("Hydra ")


def test_option_may_stand_between_the_keys(train: Root) -> None:
    typed = ["task=a", "-m", "seed=1,2", "-cd", "folder", "n=3"]
    assert checked(typed, train) == ["task=a", "seed=1,2", "n=3", "-m", "-cd", "folder"]


def test_root_knows_groups_keys_and_choices(train: Root, repository: Path) -> None:
    assert {"task", "experiment", "debug", "editor@zero_shot"} < set(train.groups)
    assert not {"hydra", "_self_"} & set(train.groups)
    assert "seed" in train.keys and not {"hydra", "defaults"} & set(train.keys)
    assert train.choices("editor@zero_shot") == train.choices("editor")
    assert "zero_shot" in train.choices("editor")


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("prompt.target=a, b", "prompt.target='a, b'"),
        ("prompt.target=it's", r"prompt.target='it\'s'"),
        ("prompt.target=[a,b]", "prompt.target=[a,b]"),
        ("prompt.target='a, b'", "prompt.target='a, b'"),
        ("prompt.target=null", "prompt.target=null"),
        ("prompt.target=", "prompt.target="),
        ("steps=1,2", "steps=1,2"),
    ],
)
def test_quote_text(argument: str, expected: str) -> None:
    assert quote_text([argument], ["prompt.target"]) == [expected]


def test_quote_text_leaves_a_sweep_alone() -> None:
    arguments = ["-m", "prompt.target=a,b"]
    assert quote_text(arguments, ["prompt.target"]) == arguments


NASTY = ["a", "lion", " ", ",", "=", "#", "'", '"', "\\", "$", "{", "}", "${", "(", ")", "[", "]"]
NASTY += [
    ":",
    "~",
    "%",
    "&",
    "!",
    "é",
    "猫",
    "\u2019",
    "null",
    "true",
    "1",
    "\t",
    "|",
    "*",
    "?",
    "<",
]


def texts(count: int) -> list[str]:
    """Random ones; those that are lists or quoted as a whole are a documented form."""
    draw = random.Random(0)
    made = ["".join(draw.choices(NASTY, k=draw.randint(1, 8))) for _ in range(count)]
    return [text for text in made if not re.match(r"^\[[^]]*\]$|^'.*'$|^\".*\"$|^(null)?$", text)]


@pytest.mark.parametrize("key", ["prompt.target", "image"])
def test_any_text_arrives_as_typed(key: str) -> None:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        for text in texts(250):
            if key == "image" and "${" in text:
                continue
            (typed,) = quote_text([f"{key}={text}"], ["prompt.target"])
            cfg = compose("edit", [typed])
            found = OmegaConf.to_container(cfg, resolve=False)
            value = OmegaConf.select(cfg, key)
            assert value == text, (text, typed, found["prompt"])
