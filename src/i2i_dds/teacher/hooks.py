"""What the layers of a network give out while it is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any


@contextmanager
def outputs_of(layers: Sequence[Any]) -> Iterator[list[Any]]:
    """Within it, the list fills with what the layers give out, in the order of evaluation."""
    outputs: list[Any] = []

    def keep(_module: Any, _inputs: Any, output: Any) -> None:
        outputs.append(output)

    with ExitStack() as hooks:
        for layer in layers:
            hooks.callback(layer.register_forward_hook(keep).remove)
        yield outputs
