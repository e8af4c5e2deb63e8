"""When two ways that end at different results are worth the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DECIBELS = 0.2
"""By how much less PSNR to the ground truth a way may have and still count as equal."""

POINTS = 0.02
"""By how much less success, as a fraction."""


@dataclass(frozen=True)
class Quality:
    """What both ways are worth on the same held-out items.

    Attributes:
        n: How many.
        plain: "psnr_truth" in dB and "success" as a fraction, of the public way.
        ours: The same of ours.
    """

    n: int
    plain: Mapping[str, float]
    ours: Mapping[str, float]

    @property
    def equal(self) -> bool:
        """Whether ours is worth no less, to :data:`DECIBELS` and :data:`POINTS`."""
        psnr, success = (self.ours[name] - self.plain[name] for name in ("psnr_truth", "success"))
        return psnr >= -DECIBELS and success >= -POINTS

    def columns(self, times: Mapping[str, float]) -> dict[str, Any]:
        """What a row says of it.

        Args:
            times: Of both ways at these settings, see :func:`i2i_dds.research.bench.timing.times`.

        Returns:
            "ratio_equal_quality", None where ours is worth less, and "quality".
        """
        both = {"n": self.n, "equal": self.equal, "plain": self.plain, "ours": self.ours}
        seconds = {name: times[name] for name in ("ours_s", "plain_s", "ratio_cpu")}
        ratio = times["ratio"] if self.equal else None
        return {"ratio_equal_quality": ratio, "quality": {**both, **seconds}}
