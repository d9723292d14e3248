"""The shop's metrics are Prometheus text and its log is JSON lines."""

import json
from pathlib import Path

from queenright.demo.shop.telemetry import BUCKETS, Log, Metrics


def test_counters_add_up_per_label_set() -> None:
    metrics = Metrics()
    metrics.count("n_total", route="/a")
    metrics.count("n_total", 2, route="/a")
    metrics.count("n_total", route="/b")
    assert metrics.render() == 'n_total{route="/a"} 3\nn_total{route="/b"} 1\n'


def test_label_values_cannot_break_out_of_their_quotes() -> None:
    metrics = Metrics()
    metrics.gauge("g", 1, text='a"} 9\nevil\\')
    assert metrics.render() == 'g{text="a\\"} 9\\nevil\\\\"} 1\n'


def test_histogram_buckets_are_cumulative_and_end_at_the_count() -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.005, 0.2, 99.0):
        metrics.observe("t_seconds", seconds)
    lines = dict(line.rsplit(" ", 1) for line in metrics.render().splitlines())
    values = [float(lines[f't_seconds_bucket{{le="{bound}"}}']) for bound in BUCKETS]
    assert values == sorted(values)
    assert values[0] == 2  # a bucket holds its own bound
    assert lines['t_seconds_bucket{le="+Inf"}'] == lines["t_seconds_count"] == "4"
    assert float(lines["t_seconds_sum"]) == 99.206


def test_an_info_gauge_has_one_label_set_at_a_time() -> None:
    metrics = Metrics()
    metrics.only("info", release="v1")
    metrics.only("info", release="v2")
    assert metrics.render() == 'info{release="v2"} 1\n'


def test_each_log_line_is_one_json_object(tmp_path: Path) -> None:
    log = Log(tmp_path / "x.jsonl", "w1")
    log.write("start", pid=1)
    log.write("odd", "error", text="two\nlines", other=Path("/x"))
    first, second = map(json.loads, (tmp_path / "x.jsonl").read_text().splitlines())
    assert (first["program"], first["event"], first["level"], first["pid"]) == ("w1", "start", "info", 1)
    assert (second["text"], second["level"]) == ("two\nlines", "error")
    assert isinstance(first["ts"], int)
