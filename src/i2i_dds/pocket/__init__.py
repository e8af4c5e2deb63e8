"""The pocket weights that ship with the package."""

from __future__ import annotations

import os
from pathlib import Path

from i2i_dds.errors import UserError


def directory() -> Path:
    """The folder that holds ``teacher/``, ``clip/``, ``judge/`` and ``flow/``.

    The environment variable ``I2I_DDS_POCKET``, where set, names another folder.

    Raises:
        UserError: The folder is not there, or empty.
    """
    named = os.environ.get("I2I_DDS_POCKET")
    folder = Path(named).expanduser() if named else Path(__file__).parent
    if not any((folder / part).is_dir() for part in ("teacher", "clip", "judge", "flow")):
        raise UserError(
            f"I2I_DDS_POCKET: '{folder}' holds no pocket weights; "
            "run scripts/pretrain.py stage=all or point I2I_DDS_POCKET at a folder that has them"
        )
    return folder
