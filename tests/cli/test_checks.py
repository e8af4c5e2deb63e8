import pytest
from omegaconf import MISSING, OmegaConf

from i2i_dds.checks import integer, number, several, text
from i2i_dds.cli.checks import check
from i2i_dds.cli.explain import explain
from i2i_dds.errors import UserError


def test_values_are_found_at_dotted_keys() -> None:
    cfg = OmegaConf.create({"a": {"b": 1, "c": [0.5, 2]}})
    check(cfg, {"a.b": integer(min=1), "a.c": several(number(above=0, max=2))})
    with pytest.raises(UserError, match="^a.b: 1 is not allowed; give a whole number of at least"):
        check(cfg, {"a.b": integer(min=2)})
    with pytest.raises(UserError, match=r"^a\.c: \[0.5, 2\] is not allowed; give a number of at"):
        check(cfg, {"a.c": several(number(max=1))})


def test_a_key_is_named_as_it_is_typed() -> None:
    with pytest.raises(UserError, match="^data: 3 is not allowed"):
        check(OmegaConf.create({"benchmark": 3}), {"data": text()}, typed={"data": "benchmark"})


def test_missing_value_says_how_to_give_it() -> None:
    with pytest.raises(Exception) as caught:
        check(OmegaConf.create({"image": MISSING}), {"image": text()})
    assert explain(caught.value) == "image: no value is set; give image=<value>"


def test_absent_key_is_named() -> None:
    with pytest.raises(UserError, match="a.c: no such key"):
        check(OmegaConf.create({"a": {"b": 1}}), {"a.c": integer()})
