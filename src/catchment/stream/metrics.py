"""How a stream stands, in the words of Prometheus (its text format 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from catchment.events import StreamProgress

if TYPE_CHECKING:
    from prometheus_client.core import Metric


def exposition(tables: Sequence[StreamProgress], failing: Sequence[str], *, ready: bool) -> str:
    """What a scrape answers. `failing` are ids of steps."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    @dataclass(eq=False)
    class Standing(Collector):
        def collect(self) -> Iterator[Metric]:
            yield from _metrics(tables, failing, ready=ready)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Standing())
    return generate_latest(registry).decode()


def _metrics(tables: Sequence[StreamProgress], failing: Sequence[str], *, ready: bool) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    counted = {
        "catchment_stream_rows": ("Rows since the stream began.", "rows"),
        "catchment_stream_rejected_rows": ("Rows rejected since the stream began.", "rejected"),
    }
    for name, (words, key) in counted.items():
        counter = CounterMetricFamily(name, words, labels=["table"])
        for one in tables:
            counter.add_metric([one.table], getattr(one, key))
        yield counter
    standing = {
        "catchment_stream_behind_seconds": ("For how long a table has lacked something.", "behind_s"),
        "catchment_stream_behind_loads": ("Loads of bronze that a table has not taken.", "behind_loads"),
        "catchment_stream_behind_items": ("Messages or rows that a source has and bronze has not.", "behind_items"),
        "catchment_stream_behind_bytes": ("Bytes that a source has and bronze has not.", "behind_bytes"),
    }
    for name, (words, key) in standing.items():
        gauge = GaugeMetricFamily(name, words, labels=["table"])
        for one in tables:
            gauge.add_metric([one.table], getattr(one, key))
        yield gauge
    latency = GaugeMetricFamily(
        "catchment_stream_latency_seconds",
        "What that share of the last minute's rows stayed below, from the read that brought them to the commit.",
        labels=["table", "quantile"],
    )
    for one in tables:
        for quantile, seconds in (("0.5", one.latency_p50_s), ("0.95", one.latency_p95_s)):
            if seconds is not None:
                latency.add_metric([one.table, quantile], seconds)
    yield latency
    failed = GaugeMetricFamily("catchment_stream_step_failing", "1 for each step that fails.", labels=["step"])
    for step in failing:
        failed.add_metric([step], 1)
    yield failed
    yield GaugeMetricFamily("catchment_stream_ready", "1 once the first read of everything is in silver.", int(ready))
