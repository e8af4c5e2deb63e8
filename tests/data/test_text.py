from pathlib import Path

import pytest

from i2i_dds.data.text import read_prompts
from i2i_dds.errors import UserError


def test_read_prompts(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("a cat\n\n  a dog \n")
    assert read_prompts(tmp_path / "p.txt") == ["a cat", "a dog"]
    (tmp_path / "e.txt").write_text("\n")
    with pytest.raises(UserError, match="prompts: .* holds no prompt"):
        read_prompts(tmp_path / "e.txt")
    with pytest.raises(UserError, match="prompts: .* does not exist; give a text file"):
        read_prompts(tmp_path / "none.txt")
