"""What a scheduler's file says of the process; each default is that of the class itself."""

import diffusers
import pytest
import torch

from i2i_dds.diffusion.process import VariancePreserving
from i2i_dds.errors import UserError
from i2i_dds.teacher.schedulers import SCHEDULERS, process_from_scheduler

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def shows_its_defaults(name: str) -> bool:
    return not getattr(getattr(diffusers, name), "_backends", None)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # diffusers with numpy 2
@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_class_gives_the_table_that_diffusers_makes(name: str) -> None:
    if not shows_its_defaults(name):
        # Diffusers has a stand-in then, without defaults: see the next test.
        pytest.skip(f"{name} needs {', '.join(getattr(diffusers, name)._backends)}")
    for config in ({}, SD, {"trained_betas": [0.001 * i for i in range(1, 1001)]}):
        theirs = getattr(diffusers, name)(**config).alphas_cumprod
        ours = process_from_scheduler({"_class_name": name, **config}).alphas_cumprod
        torch.testing.assert_close(ours.float(), theirs.float())


def test_a_class_whose_package_is_absent_must_be_saved_with_all_keys(monkeypatch) -> None:
    class StandIn:
        def __init__(self, *args: object, **kwargs: object) -> None: ...

    monkeypatch.setattr(diffusers, "LMSDiscreteScheduler", StandIn)
    with pytest.raises(
        UserError, match=r"^scheduler\.beta_start: LMSDiscreteScheduler is saved wit"
    ):
        process_from_scheduler({"_class_name": "LMSDiscreteScheduler"})
    found = process_from_scheduler({"_class_name": "LMSDiscreteScheduler", **SD}).alphas_cumprod
    assert torch.equal(found, VariancePreserving.scaled_linear().alphas_cumprod)


def test_absent_keys_have_the_defaults_of_the_class() -> None:
    tables = [
        process_from_scheduler({"_class_name": name}).alphas_cumprod
        for name in ("LCMScheduler", "DDIMScheduler")
    ]
    assert torch.equal(tables[0], VariancePreserving.scaled_linear().alphas_cumprod)
    assert not torch.equal(*tables)


@pytest.mark.parametrize(
    "name",
    [
        *("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"),
        *("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler", "ScoreSdeVeScheduler"),
        *("CosineDPMSolverMultistepScheduler", "UnCLIPScheduler", "os.system", "", None, 3, ["a"]),
    ],
)
def test_another_kind_of_process_is_refused_by_name(name: object) -> None:
    with pytest.raises(UserError, match=r"^scheduler\._class_name: .* is not supported, for its"):
        process_from_scheduler({"_class_name": name, **SD})
    with pytest.raises(UserError, match=r"^scheduler\._class_name: None"):
        process_from_scheduler(SD)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("use_flow_sigmas", True),
        ("timestep_type", "continuous"),
        ("prediction_type", "sample"),
        ("prediction_type", "flow_prediction"),
        ("prediction_type", None),
        ("beta_schedule", "sigmoid"),
        ("beta_schedule", ["linear"]),
        ("beta_start", "a"),
        ("beta_end", float("nan")),
        ("beta_end", 12),
        ("num_train_timesteps", 10**12),
        ("num_train_timesteps", 0),
        ("num_train_timesteps", 2.5),
        ("trained_betas", "abc"),
        ("trained_betas", [0.1] * 10),
        ("trained_betas", [0.1] * 999 + [2]),
        ("rescale_betas_zero_snr", "no"),
        ("rescale_betas_zero_snr", True),
    ],
)
def test_a_value_that_makes_another_process_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(UserError, match=rf"^scheduler\.{key}: "):
        process_from_scheduler({"_class_name": "DPMSolverMultistepScheduler", **SD, key: value})


def test_the_last_timestep_may_be_pure_noise_where_v_is_predicted() -> None:
    config = {**SD, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    process = process_from_scheduler({"_class_name": "DDIMScheduler", **config})
    assert process.alphas_cumprod[-1] == 0 and process.prediction_type == "v_prediction"


def test_a_default_that_cannot_be_known_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diffusers, "LMSDiscreteScheduler", None, raising=False)
    with pytest.raises(
        UserError, match=r"^scheduler\.beta_start: LMSDiscreteScheduler is saved wi"
    ):
        process_from_scheduler({"_class_name": "LMSDiscreteScheduler"})
    whole = {"_class_name": "LMSDiscreteScheduler", **SD}
    assert len(process_from_scheduler(whole)) == 1000
