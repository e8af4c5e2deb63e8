"""Types in which our teacher may be asked at equal quality."""

from __future__ import annotations

from typing import Any

from i2i_dds.teacher.load import load_teacher


def by_precision(teacher: Any, path: str, dtype: str) -> dict[str, Any]:
    """The teachers that may be asked, by the names of their types.

    Args:
        teacher: In float32.
        path: Where it was loaded from.
        dtype: "float32" or "bfloat16", or "auto" for both.
    """
    named = {"float32": teacher}
    if dtype != "float32":
        named["bfloat16"] = load_teacher(path, device=teacher.device, dtype="bfloat16")
    return named if dtype == "auto" else {dtype: named[dtype]}
