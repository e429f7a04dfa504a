"""Samples as text for scrapers: Prometheus' format 0.0.4, and OpenMetrics 1.0. Pure.

Source: prometheus.io, "Exposition formats"; OpenMetrics 1.0 (a counter's family is named without `_total`, canonical numbers,
`# UNIT` where the name ends with it, `_created`, `# EOF`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from tenantry.ops.metrics.collect import Collected, Sample
from tenantry.signals import BY_NAME, Family

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def wants_open_metrics(accept: str) -> bool:
    """Whether this Accept header prefers OpenMetrics to the plain text, by its q-values; at a tie it does."""
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for part in accept.lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((_weight(p[2:]) for p in parameters if p.startswith("q=")), 1.0)
        if kind in weights:
            weights[kind] = max(weights[kind], weight)
    return (
        weights["application/openmetrics-text"] > 0 and weights["application/openmetrics-text"] >= weights["text/plain"]
    )


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def text(collected: Collected, *, is_open: bool) -> str:
    """The whole answer to a scrape."""
    created = number(round(collected.started, 3), is_open=is_open) if is_open else ""
    parts: list[str] = []
    for family, samples in collected.families:
        parts.append(_head(family, is_open=is_open))
        if family.kind == "histogram":
            for sample in samples:
                template = _histogram(family.name, sample.labels, is_open, created)
                buckets = len(family.bounds) + 1
                cells = sample.cells
                parts.append(template % (*cells[:buckets], cells[buckets - 1], cells[buckets]))
        else:
            parts.extend(
                _simple(family.name, sample.labels, is_open, created) % number(sample.cells[0], is_open=is_open)
                for sample in samples
            )
    if is_open:
        parts.append("# EOF\n")
    return "".join(parts)


def _head(family: Family, *, is_open: bool) -> str:
    name = family.name.removesuffix("_total") if is_open and family.kind == "counter" else family.name
    says = family.says.replace("\\", "\\\\").replace("\n", "\\n")
    lines = f"# HELP {name} {says}\n# TYPE {name} {family.kind}\n"
    if is_open and family.unit and name.endswith(f"_{family.unit}"):
        lines += f"# UNIT {name} {family.unit}\n"
    return lines


@lru_cache(maxsize=8192)
def _histogram(name: str, values: tuple[str, ...], is_open: bool, created: str) -> str:
    """All lines of one histogram, with a place for each number; made once, since names do not change."""
    family = BY_NAME[name]
    labels = label_text(family.labels, values).replace("%", "%%")
    inner = f"{labels}," if labels else ""
    outer = f"{{{labels}}}" if labels else ""
    bounds = [*(number(bound, is_open=is_open) for bound in family.bounds), "+Inf"]
    lines = [f'{name}_bucket{{{inner}le="{bound}"}} %d' for bound in bounds]
    lines += [f"{name}_count{outer} %d", f"{name}_sum{outer} %r"]
    if is_open:
        lines.append(f"{name}_created{outer} {created}")
    return "\n".join(lines) + "\n"


@lru_cache(maxsize=8192)
def _simple(name: str, values: tuple[str, ...], is_open: bool, created: str) -> str:
    family = BY_NAME[name]
    labels = label_text(family.labels, values).replace("%", "%%")
    outer = f"{{{labels}}}" if labels else ""
    lines = f"{name}{outer} %s\n"
    if is_open and family.kind == "counter":
        lines += f"{name.removesuffix('_total')}_created{outer} {created}\n"
    return lines


def label_text(names: Sequence[str], values: Sequence[str]) -> str:
    """`a="x",b="y"`, sorted by name, escaped."""
    return ",".join(
        f'{name}="{value}"'
        for name, value in sorted(
            (name, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
            for name, value in zip(names, values, strict=True)
        )
    )


def number(value: float, *, is_open: bool) -> str:
    """`1` in plain text (so that `le="1"` can be asked for), the canonical `1.0` in OpenMetrics."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value)}.0" if is_open else str(int(value))
    return repr(value)


def key_of(family: Family, sample: Sample) -> str:
    """`name`, or `name{a="x",b="y"}` with the labels sorted: the key in JSON."""
    labels = label_text(family.labels, sample.labels)
    return f"{family.name}{{{labels}}}" if labels else family.name
