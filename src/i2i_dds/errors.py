"""The one exception for everything a user can put right."""


class UserError(ValueError):
    """A mistake in what was asked for, told in one sentence.

    The message names the key, the value and what is allowed, as in
    ``steps: -3 is not allowed; give a whole number of at least 1``. The entry points print it
    without a traceback and exit with a non-zero code.
    """
