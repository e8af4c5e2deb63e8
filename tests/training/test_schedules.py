import pytest
import torch

from i2i_dds.errors import UserError
from i2i_dds.training.schedules import ScalarSchedule, constant, cosine_warmup


def test_a_ramp_goes_from_start_to_end_and_stays() -> None:
    ramp = ScalarSchedule(1, 3, 0.4)
    assert [ramp(p) for p in (0, 0.2, 0.4, 0.7, 1)] == [1, 2, 3, 3, 3]
    cosine = ScalarSchedule(1, 3, 0.4, "cosine")
    assert cosine(0) == 1 and cosine(0.2) == pytest.approx(2) and cosine(0.4) == 3
    assert cosine(0.1) == pytest.approx(3 - 2**0.5 / 2 - 1)
    assert ScalarSchedule(1, 3, 0)(0) == 3
    for wrong in ({"fraction": 1.5}, {"shape": "square"}):
        with pytest.raises(UserError, match=f"{next(iter(wrong))}: .* give"):
            ScalarSchedule(1, 3, **wrong)  # type: ignore[arg-type]


def test_learning_rates() -> None:
    def rates(schedule, **settings) -> list[float]:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
        scheduler = schedule(optimizer, steps=4, **settings)
        found = []
        for _ in range(5):
            found += scheduler.get_last_lr()
            optimizer.step()
            scheduler.step()
        return found

    assert rates(constant) == [2] * 5
    assert rates(constant, warmup=2) == [1, 2, 2, 2, 2]
    # 2 (0.1 + 0.9 (1 + cos(pi k / 4)) / 2), and half of it at first
    wanted = [1, 2 * (0.1 + 0.45 * (1 + 0.5**0.5)), 1.1, 2 * (0.1 + 0.45 * (1 - 0.5**0.5)), 0.2]
    assert rates(cosine_warmup, warmup=2, floor=0.1) == pytest.approx(wanted)
