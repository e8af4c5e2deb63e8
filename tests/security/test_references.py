"""What stands in the environment lands in no file, whichever text or path refers to it.

That any text arrives letter by letter: `tests/cli/test_arguments.py`. Secrets in values, in
addresses and in what commands print: `tests/test_redaction.py`, `tests/cli/test_secrets.py`.
"""

import json
from pathlib import Path

import pytest

from i2i_dds.cli import drag, edit, evaluate, lora, make_shards, train
from i2i_dds.cli.arguments import INPUTS, OUTPUTS, quote_text

VALUE = "correct horse battery staple"
REFERENCE = "${oc.env:HOSTILE}"  # no name of a secret, so that redaction is not what hides it
FORMS = [REFERENCE, f"a {REFERENCE} b", "${oc.env:NONE,${oc.env:HOSTILE}}", "${ oc.env:HOSTILE }"]
FORMS += ["${oc.decode:${oc.env:HOSTILE}}", "\\\\" + REFERENCE]


@pytest.fixture(autouse=True)
def _hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTILE", VALUE)


def holders(folder: Path) -> list[str]:
    """Files and folders with the value in them, or in their names."""
    found = [path for path in folder.rglob("*") if VALUE in path.name]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [*map(str, found), *(str(p) for p in files if VALUE.encode() in p.read_bytes())]


@pytest.mark.parametrize("form", FORMS)
def test_in_every_text_of_an_edit(typed, cat: Path, tmp_path: Path, form: str) -> None:
    texts = [f"prompt.{name}={form}" for name in ("source", "target", "negative")]
    done = typed(edit.main, "image=cat.png", *texts, "steps=1")
    result = json.loads((done.folder / "result.json").read_text())
    assert result["items"][0]["target"] == result["items"][0]["source"] == form
    assert result["config"]["prompt"]["negative"] == form
    assert holders(tmp_path) == [] and VALUE not in done.out + done.err


@pytest.mark.parametrize(
    "text", [f"['{REFERENCE}',a]", f"'{REFERENCE}'", f'"{REFERENCE}"', f"[{REFERENCE}]"]
)
def test_in_lists_and_quotes(typed, cat: Path, tmp_path: Path, text: str) -> None:
    done = typed(edit.main, "image=cat.png", f"prompt.target={text}", "steps=1")
    result = json.loads((done.folder / "result.json").read_text())
    assert result["items"][0]["target"] == REFERENCE
    assert holders(tmp_path) == [] and VALUE not in done.out + done.err


@pytest.mark.parametrize("key", [*OUTPUTS, "+out"])
def test_no_folder_is_named_after_it(typed, cat: Path, tmp_path: Path, key: str) -> None:
    done = typed(edit.main, "image=cat.png", "prompt.target=a", f"{key}=a-{REFERENCE}")
    assert done.code == 2 and "refers to the environment" in done.sentence, done
    assert holders(tmp_path) == [] and VALUE not in done.out + done.err


READ = {
    "image": (edit.main, "prompt.target=a"),
    "mask": (edit.main, "image=cat.png", "prompt.target=a"),
    "judge": (edit.main, "n=1", "steps=1"),
    "student": (edit.main, "image=cat.png", "editor=student"),
    "teacher.path": (edit.main, "n=1", "steps=1"),
    "ckpt": (evaluate.main,),
    "ckpt_path": (train.main, "task=cat2lion", "data.n_train=2", "data.size=32"),
    "data.folder": (train.main, "task=cat2lion", "data=folder"),
    "path": (make_shards.main, "source=folder", "out=shards"),
    "prompts": (make_shards.main, "source=teacher", "out=shards"),
    "item": (drag.main,),
    "lora image": (lora.main, "prompt=a"),
}


@pytest.mark.parametrize("key", READ)
def test_in_every_path_that_is_read(typed, cat: Path, tmp_path: Path, key: str) -> None:
    main, *arguments = READ[key]
    name = key.split()[-1]
    done = typed(main, *arguments, f"{name}={REFERENCE}")
    assert done.code == 2 and done.sentence.startswith(f"error: {name}: '{REFERENCE}'"), done
    assert holders(tmp_path) == [] and VALUE not in done.out + done.err


@pytest.mark.parametrize("key", INPUTS)
def test_of_every_key_of_a_path_nothing_is_left_to_resolve(key: str) -> None:
    for form in FORMS:
        (typed,) = quote_text([f"{key}={form}"], [])
        assert typed.startswith(f"{key}='") and "\\${" in typed
