"""Windows of maintenance, HH:MM-HH:MM local time; one that ends before it begins goes over midnight."""

from __future__ import annotations


def within(window: str, minute: int) -> bool:
    """Whether `minute` after midnight lies in the window; its end does not belong to it. Equal ends: all day."""
    begins, ends = (_minutes(part) for part in window.split("-"))
    if begins == ends:
        return True
    if begins < ends:
        return begins <= minute < ends
    return minute >= begins or minute < ends


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return 60 * int(hours) + int(minutes)
