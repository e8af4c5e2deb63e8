import pytest

from i2i_dds.data.brackets import with_brackets, without_brackets


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("a cat on a mat", "a lion on a mat", ("a [cat] on a mat", "a [lion] on a mat")),
        ("a bicycle", "a rusty old bicycle", ("a bicycle", "a [rusty old] bicycle")),
        ("a cat, asleep.", "an owl, asleep.", ("[a cat], asleep.", "[an owl], asleep.")),
        ("a  cat here", "a  cat", ("a  cat [here]", "a  cat")),
        ("one two three", "six two nine", ("[one] two [three]", "[six] two [nine]")),
        ("the same", "the same", ("the same", "the same")),
        ("", "all new", ("", "[all new]")),
    ],
)
def test_brackets_are_round_what_the_other_prompt_has_not(source, target, expected):
    assert with_brackets(source, target) == expected
    assert tuple(map(without_brackets, expected)) == (source, target)


def test_only_brackets_are_taken_off():
    assert without_brackets(" a [[cat] and  dog ") == " a cat and  dog "
