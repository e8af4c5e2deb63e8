"""Edits measured against the exact answer, numbers and pictures of a whole run."""
