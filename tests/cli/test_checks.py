import pytest
from omegaconf import MISSING, OmegaConf

from i2i_dds.checks import Rule, choice, flag, integer, number, optional, several, text
from i2i_dds.cli.checks import check
from i2i_dds.cli.explain import explain
from i2i_dds.errors import UserError

RULES: list[tuple[Rule, list, list]] = [
    (integer(min=1), [1, 7], [0, -1, 1.0, True, "1", None]),
    (integer(min=1, max=3), [1, 3], [4]),
    (number(above=0), [0.1, 2], [0, -1.0, float("nan"), float("inf"), "0.1", False]),
    (number(min=0, max=1), [0, 0.5, 1], [1.1, -0.1]),
    (number(above=0, below=1), [0.01, 0.99], [0, 1, -0.1, 1.1]),
    (flag(), [True, False], [0, 1, "true"]),
    (text(), ["a"], ["", "  ", None, 3]),
    (text(empty=True), ["", "a"], [None]),
    (choice("resize", "crop"), ["crop"], ["Crop", None]),
    (choice(0, 1), [0], [False]),
    (optional(integer(min=1)), [None, 2], [0]),
    (several(text()), ["a", ["a", "b"]], [[], ["a", ""], 3]),
]


@pytest.mark.parametrize(("rule", "good", "bad"), RULES, ids=[rule.allowed for rule, *_ in RULES])
def test_rule_accepts_the_good_and_refuses_the_bad(rule: Rule, good: list, bad: list) -> None:
    for value in good:
        check(OmegaConf.create({"a": {"b": value}}), {"a.b": rule})
    for value in bad:
        with pytest.raises(UserError, match=r"^a\.b: .* is not allowed.*; give "):
            check(OmegaConf.create({"a": {"b": value}}), {"a.b": rule})


def test_sentence_names_key_value_and_range() -> None:
    cfg = OmegaConf.create({"steps": -3})
    with pytest.raises(UserError) as caught:
        check(cfg, {"steps": integer(min=1)})
    assert str(caught.value) == "steps: -3 is not allowed; give a whole number of at least 1"


@pytest.mark.parametrize("wrap", [lambda rule: rule, optional, several])
def test_mistyped_choice_names_the_nearest(wrap) -> None:
    rules = {"fit": wrap(choice("resize", "crop", 3))}
    with pytest.raises(UserError, match=r"^fit: 'Corp' is not allowed \(did you mean 'crop'\?\); "):
        check(OmegaConf.create({"fit": "Corp"}), rules)
    for value in ("x", 4):
        with pytest.raises(UserError, match="is not allowed; give one of resize, crop, 3"):
            check(OmegaConf.create({"fit": value}), rules)


def test_missing_value_says_how_to_give_it() -> None:
    with pytest.raises(Exception) as caught:
        check(OmegaConf.create({"image": MISSING}), {"image": text()})
    assert explain(caught.value) == "image: no value is set; give image=<value>"


def test_absent_key_is_named() -> None:
    with pytest.raises(UserError, match="a.c: no such key"):
        check(OmegaConf.create({"a": {"b": 1}}), {"a.c": integer()})
