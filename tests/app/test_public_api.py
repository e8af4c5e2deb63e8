import ast
from pathlib import Path

import pytest

import i2i_dds.app

FILES = sorted(Path(i2i_dds.app.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_page_calls_the_public_api_only(file: Path) -> None:
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    names = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    names += [one.name for node in nodes if isinstance(node, ast.Import) for one in node.names]
    own = [name for name in names if name.split(".")[0] == "i2i_dds"]
    assert [one for one in own if one != "i2i_dds" and one.split(".")[1] != "app"] == []
    taken = [
        one.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module == "i2i_dds"
        for one in node.names
    ]
    assert set(taken) <= {*i2i_dds.__all__, "app"}
