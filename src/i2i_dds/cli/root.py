"""A root config of ``conf/`` as its file is written, before anything is composed."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf


@dataclass(frozen=True)
class Root:
    """What can be told to a user whose command line composes to nothing.

    Attributes:
        file: Its path, such as ``conf/edit.yaml``.
    """

    file: Path

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Those that the file sets itself, at its top."""
        own = (key for key in self._content if key not in ("defaults", "hydra"))
        return (*own, *(key for base in self._bases for key in base.keys))

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Those of the defaults list that are chosen from on the command line."""
        return tuple(name for name in self._defaults() if name != "hydra")

    def choices(self, group: str) -> tuple[str, ...]:
        """The names to choose from in a group; an ``editor@zero_shot`` is of ``editor``."""
        folder = self.file.parent / group.partition("@")[0]
        return tuple(sorted(path.stem for path in folder.glob("*.yaml")))

    @cached_property
    def _content(self) -> dict[str, Any]:
        content: Any = OmegaConf.to_container(OmegaConf.load(self.file))
        return {str(key): value for key, value in content.items()}

    @property
    def _bases(self) -> list["Root"]:
        """Other root configs that it builds on."""
        names = (one for one in self._content.get("defaults", []) if isinstance(one, str))
        files = (self.file.with_name(f"{name}.yaml") for name in names)
        return [Root(file) for file in files if file.is_file()]

    def _defaults(self) -> Iterator[str]:
        for base in self._bases:
            yield from base._defaults()
        for entry in self._content.get("defaults", []):
            if isinstance(entry, dict):
                yield str(next(iter(entry))).split()[-1]  # behind "optional" or "override"
