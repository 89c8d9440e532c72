"""Runs inside the node, by the product's own Python: times what the command line does to the directory.

Takes a JSON object of terms and counts on its command line, prints one of milliseconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import Any

from appliance.directory.bulk import Row
from appliance.directory.service import DirectoryService

_TIMES = 5


def timed(work: Callable[[], Any]) -> float:
    """Milliseconds of one run."""
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def several(work: Callable[[], Any]) -> list[float]:
    """Milliseconds of each of a few runs."""
    return [timed(work) for _ in range(_TIMES)]


def with_new_connection(work: Callable[[DirectoryService], Any]) -> Callable[[], Any]:
    """As one run of the command line does it: connect, ask, leave."""

    def run() -> None:
        with DirectoryService.connect() as directory:
            work(directory)

    return run


def make(rows: Iterable[Row]) -> float:
    """Mailboxes made in a second."""
    wanted = list(rows)
    start = time.perf_counter()
    with DirectoryService.connect() as directory:
        outcomes = list(directory.create_mailboxes(wanted))
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        sys.exit(f"{len(failed)} of {len(outcomes)} were refused: {failed[0].error}")
    return len(outcomes) / (time.perf_counter() - start)


def first_page(size: int, directory: DirectoryService) -> None:
    """The beginning of the list of all."""
    list(islice(directory.mailboxes.all(page=size), size))


def search(term: str, directory: DirectoryService) -> None:
    """One search."""
    directory.mailboxes.search(term)


def pages(given: dict[str, Any]) -> dict[str, list[float]]:
    """The first page, and one after a thousand others' worth of mailboxes, of a list in directory order."""
    times: dict[str, list[float]] = {}
    for size in given["page_sizes"]:
        times[f"first page of {size}"] = several(with_new_connection(partial(first_page, size)))
    with DirectoryService.connect() as directory:
        everybody = directory.mailboxes.all(page=500)
        list(islice(everybody, given["deep"]))
        times[f"next page of 500 after {given['deep']}"] = several(lambda: list(islice(everybody, 500)))
    return times


def searches(given: dict[str, Any]) -> dict[str, list[float]]:
    """Each term, on a connection of its own."""
    times = {}
    for name, term in given["terms"].items():
        times[name] = several(with_new_connection(partial(search, term)))
    times["show by address"] = several(with_new_connection(lambda directory: directory.mailboxes.find(given["find"])))
    return times


def main() -> None:
    """Do what the one argument says."""
    given = json.loads(sys.argv[1])
    result: dict[str, Any] = {}
    if "terms" in given:
        result |= pages(given) | searches(given)
    if "make" in given:
        made = given["make"]
        numbers = range(made["first"], made["first"] + made["count"])
        secret = {"password_hash": made["hash"]} if "hash" in made else {"password": made["password"]}
        rows = [Row(number, f"made{number}@{made['domain']}", name=f"Made {number}", **secret) for number in numbers]
        result["made per second"] = make(rows)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
