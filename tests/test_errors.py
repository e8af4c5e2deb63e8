from i2i_dds.errors import UserError


def test_user_error_is_a_value_error_that_reads_as_its_sentence() -> None:
    sentence = "steps: -3 is not allowed; give a whole number of at least 1"
    assert str(UserError(sentence)) == sentence
    assert issubclass(UserError, ValueError)
