"""Healthy and hurt are measured: by the load generator's numbers alone."""

import json
from pathlib import Path

from queenright.demo.probe import Probe


def line(ts: int, *, sent: int = 30, bad: int = 0, p50: float = 4.0, p95: float = 9.0) -> str:
    route = {"p50_ms": p50, "p95_ms": p95}
    return json.dumps(
        {"ts": ts, "sent": sent, "bad": bad, "checkout": route, "orders": {"p50_ms": 1, "p95_ms": 1}}
    )


def probe(tmp_path: Path, *lines: str) -> Probe:
    path = tmp_path / "load.jsonl"
    path.write_text("".join(f"{text}\n" for text in lines))
    found = Probe(path)
    found.read()
    return found


def test_a_torn_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "load.jsonl"
    whole = line(1000)
    path.write_text(whole[:20])
    found = Probe(path)
    found.read()
    assert found.seconds == []
    with path.open("a") as file:
        file.write(whole[20:] + "\n" + line(2000) + "\n")
    found.read()
    found.read()
    assert [second.ts for second in found.seconds] == [1000, 2000]


def test_failures_long_waits_and_slow_medians_hurt(tmp_path: Path) -> None:
    found = probe(
        tmp_path, line(1000), line(2000, bad=1), line(3000, p95=505.0), line(4000, p50=45.0), line(5000)
    )
    found.normal_p50_ms = 4.0
    assert [second.ts for second in found.hurt_since(0)] == [2000, 3000, 4000]
    assert [second.ts for second in found.hurt_since(3000)] == [4000]


def test_slow_means_slower_than_this_shop_is_normally(tmp_path: Path) -> None:
    found = probe(tmp_path, *(line(n, p50=15.0) for n in range(5)))
    found.learn()
    assert found.normal_p50_ms == 15.0
    assert found.hurt_since(-1) == []


def test_healthy_needs_three_good_seconds_in_a_row_that_began_after(tmp_path: Path) -> None:
    found = probe(tmp_path, *(line(n * 1000) for n in range(1, 6)))
    assert found.healthy_at(0) == 3000
    assert found.healthy_at(1500) == 5000
    assert found.healthy_at(2500) is None
    broken = probe(tmp_path, line(1000), line(2000), line(3000, bad=2), line(4000), line(5000))
    assert broken.healthy_at(0) is None


def test_a_second_without_customers_is_not_a_good_one(tmp_path: Path) -> None:
    found = probe(tmp_path, *(line(n * 1000, sent=0, p50=0.0, p95=0.0) for n in range(1, 9)))
    assert found.healthy_at(0) is None
