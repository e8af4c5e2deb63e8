"""Edits measured against the ground truth, numbers and pictures of a whole run."""
