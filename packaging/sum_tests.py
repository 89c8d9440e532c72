#!/usr/bin/python3
"""sum_tests.py FILE.xml... - one closing line for all kinds of tests, from pytest's JUnit reports.

Prints "N passed, N failed, N skipped"; errors count as failed. Ends with 1 when something failed or nothing ran.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree


def main() -> int:
    tests = failed = skipped = 0
    for name in sys.argv[1:]:
        if not Path(name).exists():
            continue
        for suite in ElementTree.parse(name).iter("testsuite"):  # noqa: S314 - pytest wrote it a moment ago
            tests += int(suite.get("tests", 0))
            failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped += int(suite.get("skipped", 0))
    passed = max(tests - failed - skipped, 0)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not tests else 0


sys.exit(main())
