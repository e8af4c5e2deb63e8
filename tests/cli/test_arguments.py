"""The command line before Hydra reads it."""

import re
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from i2i_dds.cli.app import config_dir
from i2i_dds.cli.arguments import _is_list, _is_quoted, checked, quote_text
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
        ("prompt.target=['[a] cat',\"b]\"]", "prompt.target=['[a] cat',\"b]\"]"),
        ("prompt.target=[it's] or [dog's]", r"prompt.target='[it\'s] or [dog\'s]'"),
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


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("[${oc.env:X},b]", r"['\${oc.env:X}','b']"),
        ('"${oc.env:X}"', r"'\${oc.env:X}'"),
        (r"'\${a}'", r"'\${a}'"),
        (r"'\\${a}'", r"'\\\\\${a}'"),
        ("[1,true,null,'${a}']", r"[1,true,null,'\${a}']"),
    ],
)
def test_in_lists_and_quotes_nothing_is_put_for_a_reference(argument: str, expected: str) -> None:
    typed = f"prompt.target={argument}"
    assert quote_text([typed], ["prompt.target"]) == [f"prompt.target={expected}"]


def test_in_a_sweep_nothing_is_put_for_a_reference() -> None:
    (_, typed) = quote_text(["-m", "prompt.target=a,${oc.env:X}"], ["prompt.target"])
    assert typed == r"prompt.target='a','\${oc.env:X}'"


def test_output_folders_may_refer_to_other_keys_and_inputs_may_not() -> None:
    typed = ["paths.output_dir=${paths.root}/a", "hydra.run.dir=${now:%Y}", "image=${a}.png"]
    assert quote_text(typed, []) == [*typed[:2], r"image='\${a}.png'"]


def test_texts_of_a_task_are_texts() -> None:
    typed = ["task.tasks.lion.append=, (wet)", "task.tasks.lion.instruction=a, b"]
    assert quote_text(typed, []) == [
        "task.tasks.lion.append=', (wet)'",
        "task.tasks.lion.instruction='a, b'",
    ]


def test_bytes_that_are_no_text_are_refused(train: Root) -> None:
    assert refusal(["image=caf\udce9.png"], train) == (
        r"image: 'caf\udce9.png' is not UTF-8; rename the file, or type it in UTF-8"
    )


NASTY = [*" ,=#'\"\\$}:~%&!|*?<@`;^+-.0()[]{", "${", "${oc.env:HOME}", "\\$", "é", "猫", "\u2028"]
NASTY += ["\u202e", "null", "true", "1e5", "\t", "\n", "a lion", "key=value", "choice(a,b)", "???"]

TYPED = st.one_of(
    st.lists(st.sampled_from(NASTY), max_size=8).map("".join),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
)
"""What a shell can pass as one argument: no zero byte, and of half characters see above."""


def is_documented_form(text: str) -> bool:
    """A list, a text in quotes, null, ??? and nothing are not letter by letter what is meant."""
    return _is_list(text) or _is_quoted(text) or text in ("", "null", "???")


def arrived(argument: str) -> Any:
    """What Hydra and OmegaConf make of an argument."""
    override = OverridesParser.create().parse_override(argument)
    cfg = OmegaConf.create({"prompt": {"target": None}, "image": None})
    OmegaConf.update(cfg, override.key_or_group, override.value())
    value = OmegaConf.select(cfg, override.key_or_group)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_list(value) else value


def check_arrives(key: str, text: str) -> None:
    assume(not is_documented_form(text))
    (typed,) = quote_text([f"{key}={text}"], ["prompt.target"])
    assert arrived(typed) == text


@pytest.mark.parametrize("key", ["prompt.target", "image"])
@given(text=TYPED)
@example(text="a cat \\\\${x}'\\")
@example(text="\\' \\\\'")
def test_any_text_arrives_as_typed(key: str, text: str) -> None:
    check_arrives(key, text)


@pytest.mark.slow
@settings(max_examples=5000)
@given(key=st.sampled_from(["prompt.target", "image"]), text=TYPED)
def test_any_text_arrives_as_typed_thoroughly(key: str, text: str) -> None:
    check_arrives(key, text)


@given(texts=st.lists(TYPED, min_size=1, max_size=4))
def test_no_form_resolves_anything(texts: list[str]) -> None:
    """Texts in Hydra's own quotes, alone or in a list, arrive with their references."""
    escaped = [re.sub(r"(\\+)$", r"\1\1", re.sub(r"(\\*)'", r"\1\1\\'", one)) for one in texts]
    for typed, wanted in (
        (f"'{escaped[0]}'", texts[0]),
        ("[" + ",".join(f"'{one}'" for one in escaped) + "]", texts),
    ):
        assume(not any(re.search(r"\\\$\{", one) for one in texts))  # escaped by the user
        (argument,) = quote_text([f"prompt.target={typed}"], ["prompt.target"])
        assert arrived(argument) == wanted


@settings(max_examples=10)
@given(text=TYPED)
def test_a_whole_command_line_composes(text: str) -> None:
    assume(not is_documented_form(text))
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        typed = quote_text([f"prompt.target={text}", f"image={text}"], ["prompt.target"])
        cfg = compose("edit", typed)
    assert cfg.prompt.target == cfg.image == text
