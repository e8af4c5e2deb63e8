"""Each promise of SECURITY.md names a test that is there."""

import ast
import re
from pathlib import Path

from i2i_dds.data.decoding import MOST_PIXELS
from i2i_dds.data.tars import _LONGEST_WORDS
from i2i_dds.reading import LARGEST_FILE
from i2i_dds.teacher.loading import MOST_LAYERS, MOST_WIDTH


def test_every_promise_names_its_test(repository: Path) -> None:
    text = (repository / "SECURITY.md").read_text(encoding="utf-8")
    rows = [row for row in text.splitlines() if re.match(r"\| (?!promise|limit)", row)]
    assert len(rows) > 15
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row)
        assert named, row
        for file, function in named:
            tree = ast.parse((repository / file).read_text(encoding="utf-8"))
            names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
            assert function in names if function else names, row


def test_its_limits_are_those_of_the_code(repository: Path) -> None:
    text = (repository / "SECURITY.md").read_text(encoding="utf-8")
    limits = dict(re.findall(r"\| ([^|]+) \| ([\d,]+(?: [GM]iB)?) \|", text))
    assert LARGEST_FILE == 2**30 and limits["a picture's or text's file"] == "1 GiB"
    assert limits["a picture in a shard"] == "1 GiB"
    assert _LONGEST_WORDS == 2**24 and limits["words of a sample in a shard"] == "16 MiB"
    assert limits["pixels of a picture"] == f"{MOST_PIXELS:,}"
    assert limits["layers that a network's config asks for"] == f"{MOST_LAYERS:,}"
    assert limits["any other whole number of it"] == f"{MOST_WIDTH:,}"
