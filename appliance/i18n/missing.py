"""The error of a text that is not there."""

from __future__ import annotations


class MissingText(LookupError):
    """A key has no text, or a text lacks a fact; only raised under test."""
