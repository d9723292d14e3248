"""What this machine cannot isolate, as the run's own summary: nothing is left out quietly.

A test that needs the kernel's isolation carries the marker `isolation` or takes the fixture `supervised`. Where a container
forbids what those need, they are skipped with the step that failed, everything else runs, and the run still fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

__all__ = ["Isolation"]

REFUSED = "not isolated here: "
"""Begins the reason of each test that was left out: the reports of workers reach the one process that counts them."""


def needs(item: pytest.Item) -> bool:
    return item.get_closest_marker("isolation") is not None or "supervised" in getattr(
        item, "fixturenames", ()
    )


class Isolation:
    """A pytest plugin. `missing` looks at the machine: the reason nothing can be isolated here, or an empty text."""

    def __init__(self, missing: Callable[[], str]) -> None:
        self._missing = missing
        self.why = ""
        self.left_out: list[str] = []

    def pytest_collection_modifyitems(self, items: Sequence[pytest.Item]) -> None:
        concerned = [item for item in items if needs(item)]
        why = self._missing() if concerned else ""
        if why:
            for item in concerned:
                item.add_marker(pytest.mark.skip(reason=REFUSED + why))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and isinstance(report.longrepr, tuple) and REFUSED in report.longrepr[2]:
            self.why = report.longrepr[2].partition(REFUSED)[2]
            self.left_out.append(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self.left_out and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.left_out:
            return
        terminalreporter.section("what could not run on this machine", red=True)
        terminalreporter.line(self.why)
        for name in self.left_out:
            terminalreporter.line(f"  {name}")
        terminalreporter.line(
            f"{len(self.left_out)} could not run; what they promise is not shown here, so this run fails."
        )
