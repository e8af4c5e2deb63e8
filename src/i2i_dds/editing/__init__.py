"""Editors: each takes a batch of items and yields its progress."""
