"""The Prometheus text format, strictly."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queenright.actions.prometheus import parse
from queenright.errors import Malformed

# The example of prometheus.io/docs/instrumenting/exposition_formats, as it stands there.
EXAMPLE = r"""
# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9

# Minimalistic line:
metric_without_timestamp_and_labels 12.47

# A weird metric from before the epoch:
something_weird{problem="division by zero"} +Inf -3982045

# A histogram, which has a pretty complex representation in the text format:
# HELP http_request_duration_seconds A histogram of the request duration.
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.05"} 24054
http_request_duration_seconds_bucket{le="+Inf"} 144320
http_request_duration_seconds_sum 53423
"""


def test_the_documents_own_example_reads_as_it_says() -> None:
    samples = list(parse(EXAMPLE))
    assert [sample.value for sample in samples[:2]] == [1027.0, 3.0]
    assert samples[0].labels == {"method": "post", "code": "200"}
    assert samples[2].labels == {"path": r"C:\DIR\FILE.TXT", "error": 'Cannot find file:\n"FILE.TXT"'}
    assert (samples[3].name, samples[3].value) == ("metric_without_timestamp_and_labels", 12.47)
    assert samples[4].value == math.inf
    assert samples[6].labels == {"le": "+Inf"}
    assert len(samples) == 8


@pytest.mark.parametrize(
    "line",
    [
        "1abc 3",
        "a",
        "a b",
        "a 1_000",
        "a infinity",
        "a 0x10",
        'a{b="c" 3',
        'a{b="c} 3',
        "a{b=c} 3",
        'a{b="c",b="d"} 3',
        "a 1 2 3",
        'a{="c"} 3',
        "a " + "1" * 20_000,
    ],
)
def test_what_is_no_sample_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(Malformed, match="line 2"):
        list(parse("ok 1\n" + line))


_LABEL = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True)


@given(
    st.dictionaries(
        _LABEL, st.text(st.characters(codec="utf-8", exclude_characters="\r\x0b\x0c"), max_size=12)
    ),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_what_is_written_is_read(labels: dict[str, str], value: float) -> None:
    def escaped(text: str) -> str:
        return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    inner = ",".join(f'{name}="{escaped(text)}"' for name, text in labels.items())
    (sample,) = parse(f"metric{{{inner}}} {value!r}")
    assert (sample.labels, sample.value) == (labels, value)


@given(st.text(max_size=80))
def test_no_page_raises_anything_else(text: str) -> None:
    with contextlib.suppress(Malformed):
        list(parse(text))
