"""The metrics of one process, which threads may change at once."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from customer_profiles.telemetry.catalogue import CATALOGUE, PREFIX
from customer_profiles.telemetry.exposition import Family, Labels, labels_of, read_samples, render


class Registry:
    """Counters, gauges and histograms of `CATALOGUE`; names are given without the prefix."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: dict[tuple[str, Labels], float] = {}

    def increase(self, name: str, by: float = 1, **labels: str) -> None:
        """Increase a counter.

        Raises:
            ValueError: there is no such counter, or it has other labels.
        """
        _check(name, "counter", labels)
        with self._lock:
            key = PREFIX + name, labels_of(labels)
            self._samples[key] = self._samples.get(key, 0) + by

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge.

        Raises:
            ValueError: there is no such gauge, or it has other labels.
        """
        _check(name, "gauge", labels)
        with self._lock:
            self._samples[PREFIX + name, labels_of(labels)] = value

    def clear(self, name: str) -> None:
        """Remove all samples of a gauge."""
        with self._lock:
            for key in [key for key in self._samples if key[0] == PREFIX + name]:
                del self._samples[key]

    def observe(self, name: str, value: float, bounds: Sequence[float]) -> None:
        """Count a value in a histogram.

        Raises:
            ValueError: there is no such histogram.
        """
        _check(name, "histogram", {})
        full = PREFIX + name
        with self._lock:
            for bound in (*bounds, float("inf")):
                text = "+Inf" if bound == float("inf") else f"{bound:g}"
                key: tuple[str, Labels] = f"{full}_bucket", (("le", text),)
                self._samples[key] = self._samples.get(key, 0) + (value <= bound)
            for suffix, amount in (("sum", value), ("count", 1)):
                total: tuple[str, Labels] = f"{full}_{suffix}", ()
                self._samples[total] = self._samples.get(total, 0) + amount

    def restore(self, text: str) -> None:
        """Take over the samples that an earlier process wrote. Counters go on from there."""
        with self._lock:
            known = {key: value for key, value in read_samples(text).items() if _family(key[0])}
            self._samples = {**known, **self._samples}

    def families(self) -> list[Family]:
        """Return all metrics that have samples, in the order of the catalogue."""
        with self._lock:
            samples = dict(self._samples)
        found: dict[str, dict[tuple[str, Labels], float]] = {}
        for key, value in samples.items():
            found.setdefault(_family(key[0]), {})[key] = value
        return [
            Family(name, metric.kind, metric.help, found[name])
            for name, metric in CATALOGUE.items()
            if name in found
        ]

    def render(self) -> str:
        """Return all metrics in the text format."""
        return render(self.families())


def _family(sample: str) -> str:
    """Return the metric of a sample's name, such as `…_bucket`; empty if there is none."""
    if sample in CATALOGUE:
        return sample
    stem = sample.rpartition("_")[0]
    return stem if stem in CATALOGUE and CATALOGUE[stem].kind == "histogram" else ""


def _check(name: str, kind: str, labels: Mapping[str, str]) -> None:
    metric = CATALOGUE.get(PREFIX + name)
    if metric is None or metric.kind != kind or set(metric.labels) != set(labels):
        raise ValueError(f"{name} with {sorted(labels)} is no {kind} of the catalogue")
