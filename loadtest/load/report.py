"""The report: one HTML file that needs nothing else, and the same figures as JSON beside it.

It draws what `LoadResult` holds and computes nothing of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Final

from loadtest.load.calibrate import Limit
from loadtest.load.capacity import Capacity, Step
from loadtest.load.drawing import Band, Chart, Line, Mark, draw, legend
from loadtest.load.k6 import Latency, Outcome
from loadtest.load.scenario import NAMES, Scenario
from loadtest.load.verdict import LoadVerdict

STYLE: Final = Path(__file__).with_name("report.css")
_WORDS: Final = {"met": "Service level met", "missed": "Service level missed", "void": "Void"}
_NINES: Final = (0, 50, 90, 99, 99.9, 99.99, 99.999)


@dataclass(frozen=True)
class LoadResult:
    """A finished load test."""

    when: str
    scenario: Scenario
    target: Mapping[str, str]
    rows: str
    outcome: Outcome
    verdict: LoadVerdict
    limit: Limit
    profile: Mapping[str, Any]
    k6: str
    capacity: Capacity | None = None
    notes: Sequence[str] = field(default_factory=tuple)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        out: dict[str, Any] = {
            "format": 1,
            "when": self.when,
            "state": self.verdict.state,
            "reasons": list(self.verdict.reasons),
            "scenario": self.scenario.to_json(),
            "target": dict(self.target),
            "rows": self.rows,
            "k6": self.k6,
            "profile": dict(self.profile),
            "generator_limit": self.limit.to_json(),
            "result": self.outcome.to_json(),
            "notes": list(self.notes),
        }
        if self.capacity:
            found = self.capacity
            out["capacity"] = {
                "requests_per_second": round(found.rate, 1),
                "bounded_by_generator": found.bounded,
                "knee": found.knee and round(found.knee, 1),
                "search": [_step(step) for step in found.steps],
                "curve": [_step(step) for step in found.curve],
            }
        return out


def _step(step: Step) -> dict[str, Any]:
    return {
        "rate": round(step.rate, 1),
        "state": step.verdict.state,
        "reasons": list(step.verdict.reasons),
        "answered_per_second": round(step.outcome.answered, 1),
        "p50_ms": round(step.outcome.latency.p(50), 3),
        "p99_ms": round(step.outcome.latency.p(99), 3),
        "max_ms": round(step.outcome.latency.most, 3),
        "errors": step.outcome.errors,
        "dropped": step.outcome.dropped,
        "generator_cpu_seconds": round(step.outcome.cpu_seconds, 2),
    }


def write(result: LoadResult, path: Path) -> tuple[Path, Path]:
    """Write `path` (.html) and the JSON beside it; the paths of both."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(result))
    beside = path.with_suffix(".json")
    beside.write_text(json.dumps(result.to_json(), indent=2) + "\n")
    return path, beside


def page(result: LoadResult) -> str:
    """The whole page."""
    scenario, model = result.scenario, result.target.get("model", "")
    title = f"{model}: load test, {scenario.profile}"
    parts = [
        f"<header><p class='eyebrow'>Fivefold load test · {escape(scenario.profile)}</p><h1>{escape(model)}</h1>"
        f"<p class='sub'>{escape(result.target['url'])} · {escape(result.when)}</p></header>",
        _summary(result),
    ]
    if result.capacity and result.capacity.curve:
        parts.append(_throughput(result))
    parts += [_percentiles(result), _over_time(result), _answers(result), _facts(result)]
    body = "".join(parts)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{STYLE.read_text()}</style></head><body><main>{body}</main></body></html>\n"
    )


def _card(title: str, inner: str, about: str = "") -> str:
    lead = f"<p class='about'>{about}</p>" if about else ""
    return f"<section><h2>{escape(title)}</h2>{lead}{inner}</section>"


def _table(columns: Sequence[str], rows: str) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"


def milliseconds(value: float) -> str:
    """A duration with three meaningful digits."""
    if value >= 10_000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 10 else f"{value:.2f} ms"


def _summary(result: LoadResult) -> str:
    outcome, scenario = result.outcome, result.scenario
    tiles = []
    if result.capacity:
        more = "at least " if result.capacity.bounded else ""
        tiles.append(("Capacity at the service level", f"{more}{result.capacity.rate:,.0f}/s"))
    tiles += [
        ("Rate asked", f"{outcome.rate:,.0f}/s"),
        ("Answered", f"{outcome.answered:,.0f}/s"),
        ("p50", milliseconds(outcome.latency.p(50))),
        (f"p99 (at most {scenario.slo_p99_ms:g} ms)", milliseconds(outcome.latency.p(99))),
        ("Longest", milliseconds(outcome.latency.most)),
        (f"Wrong answers (at most {scenario.slo_errors:.1%})", f"{outcome.error_share:.2%}"),
    ]
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in tiles)
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in (*result.verdict.reasons, *result.notes))
    state = result.verdict.state
    why = (
        "<p>This is not a slow result but no result: a percentile from this run would not be true.</p>"
        if state == "void"
        else ""
    )
    return (
        f"<section class='verdict {state}'><p class='state'>{_WORDS[state]}</p>{why}<ul>{reasons}</ul>"
        f"<dl class='tiles'>{cells}</dl></section>"
    )


def _curve(name: str, latency: Latency, colour: int, dashed: bool = False) -> Line:
    points = [(p, v) for p, v in latency.at.items() if latency.knows(p)]
    return Line(name, points, colour, dashed=dashed)


def _percentiles(result: LoadResult) -> str:
    if result.capacity and result.capacity.curve:
        steps = [step for step in result.capacity.curve if step.verdict.state != "void"] or result.capacity.curve
        lines = [_curve(f"{step.rate:,.0f}/s", step.outcome.latency, i) for i, step in enumerate(steps[:8])]
    else:
        lines = [_curve("all", result.outcome.latency, 0)] if len(result.outcome.transports) > 1 else []
        lines += [
            _curve(NAMES[name], latency, i + 1) for i, (name, latency) in enumerate(result.outcome.transports.items())
        ]
    floor = _curve("generator alone", result.limit.floor, 8, dashed=True)
    lines = [line for line in (*lines, floor) if line.points]
    slo = Mark(result.scenario.slo_p99_ms, f"service level {result.scenario.slo_p99_ms:g} ms at p99", "y")
    chart = Chart(
        "latency by percentile", "percentile", "milliseconds", lines, [slo, Mark(99, "p99", "x", "soft")],
        nines=True, ticks=_NINES,
    )  # fmt: skip
    about = (
        "Milliseconds from the moment a request was due, however late it could be sent. Each step to the right keeps a "
        "tenth of what is left. <em>Generator alone</em> is the same script against a server that does nothing."
    )
    return _card("Latency by percentile", draw(chart) + legend(lines), about)


def _throughput(result: LoadResult) -> str:
    assert result.capacity is not None
    found = result.capacity
    hollow = frozenset(step.rate for step in found.curve if step.verdict.state == "void")
    lines = [
        Line(name, [(step.rate, step.outcome.latency.p(p)) for step in found.curve], i, dots=True, hollow=hollow)
        for i, (name, p) in enumerate((("p50", 50), ("p90", 90), ("p99", 99)))
    ]
    marks = [
        Mark(result.scenario.slo_p99_ms, f"service level {result.scenario.slo_p99_ms:g} ms", "y"),
        Mark(found.rate, f"capacity {found.rate:,.0f}/s", "x", "good"),
    ]
    if found.knee:
        marks.append(Mark(found.knee, f"knee {found.knee:,.0f}/s", "x", "soft", row=1))
    chart = Chart("latency by throughput", "requests a second", "milliseconds", lines, marks)
    rows = "".join(
        f"<tr><td>{step.rate / found.rate:.0%}</td><td>{step.rate:,.0f}</td><td>{step.outcome.answered:,.0f}</td>"
        f"<td>{milliseconds(step.outcome.latency.p(50))}</td><td>{milliseconds(step.outcome.latency.p(99))}</td>"
        f"<td>{step.outcome.error_share:.2%}</td><td>{step.outcome.dropped}</td>"
        f"<td><span class='pill {step.verdict.state}'>{step.verdict.state}</span></td></tr>"
        for step in found.curve
    )
    columns = ("of capacity", "asked /s", "answered /s", "p50", "p99", "wrong", "dropped", "")
    table = _table(columns, rows)
    about = (
        f"Capacity is the highest rate with p99 within {result.scenario.slo_p99_ms:g} ms and at most "
        f"{result.scenario.slo_errors:.1%} wrong answers. Hollow points are void: what is drawn "
        "there was not measured well enough to count."
    )
    return _card("Latency by throughput", draw(chart) + legend(lines) + table, about)


def _over_time(result: LoadResult) -> str:
    slots = [slot for slot in result.outcome.slots if slot.latency.count]
    lines = [
        Line("p50", [(slot.second, slot.latency.p(50)) for slot in slots], 0),
        Line("p99", [(slot.second, slot.latency.p(99)) for slot in slots], 2),
        Line("longest", [(slot.second, slot.latency.most) for slot in slots], 4, dashed=True),
    ]
    bands = []
    if result.scenario.profile == "spike":
        third = result.scenario.seconds / 3
        bands = [Band(third, 2 * third, f"{result.scenario.rate * result.scenario.spike:,.0f}/s")]
    slo = Mark(result.scenario.slo_p99_ms, f"service level {result.scenario.slo_p99_ms:g} ms", "y")
    chart = Chart("latency over time", "seconds", "milliseconds", lines, [slo], bands)
    about = f"By the second in which a request was due, at {result.outcome.rate:,.0f} requests a second on average."
    return _card("Latency over time", draw(chart) + legend(lines), about)


def _answers(result: LoadResult) -> str:
    outcome = result.outcome
    right = outcome.requests - outcome.errors - outcome.refused
    found = [
        ("answered, and the answer is right", right, "good"),
        ("refused, as it had to be", outcome.refused, "good"),
    ]
    found += [(code, n, "bad") for code, n in sorted(outcome.codes.items(), key=lambda pair: -pair[1])]
    if outcome.dropped:
        found.append(("due and never sent", outcome.dropped, "bad"))
    most = max(n for _, n, _ in found) or 1
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{n:,}</td><td class='wide'><span class='bar {kind}' "
        f"style='width:{max(n / most * 100, 0.4 if n else 0):.1f}%'></span></td></tr>"
        for name, n, kind in found
    )
    answers = _table(("answer", "requests", ""), rows)
    parts = "".join(
        f"<tr><td>{NAMES[name]}</td><td>{one.count:,}</td><td>{milliseconds(one.p(50))}</td><td>{milliseconds(one.p(99))}</td>"
        f"<td>{milliseconds(one.most)}</td><td>{outcome.transport_errors.get(name, 0):,}</td>"
        f"<td>{milliseconds(result.limit.floors[name].p(50)) if name in result.limit.floors else ''}</td></tr>"
        for name, one in outcome.transports.items()
    )
    columns = ("transport", "requests", "p50", "p99", "longest", "wrong", "p50, generator alone")
    transports = _table(columns, parts)
    about = f"Every answer was compared: {escape(result.rows)}."
    return _card("Answers", answers + transports, about)


def _facts(result: LoadResult) -> str:
    scenario, limit, profile = result.scenario, result.limit, result.profile
    mix = ", ".join(f"{NAMES[name]} {share:.0%}" for name, share in scenario.shares().items())
    cores, memory = len(profile.get("cores", [])), profile.get("memory_bytes", 0) / 2**30
    machine = f"{profile.get('cpu')}, {cores} cores, {memory:.1f} GiB"
    facts = [
        ("Target", result.target["url"]),
        ("gRPC", result.target.get("grpc", "")),
        ("Model", f"{result.target.get('model', '')}, version {result.target.get('version', '')}"),
        ("Contract", result.target.get("contract", "")),
        ("Bundle", result.target.get("bundle", "")),
        ("Mix", mix),
        ("Requests", f"{scenario.rows} row{'s' * (scenario.rows > 1)} each, {scenario.invalid:.0%} break the contract"),
        ("Length", f"{scenario.seconds:g} s after {scenario.warm_seconds:g} s of warm-up, open model"),
        ("Generator", f"k6 {result.k6}, up to {result.outcome.waiting} virtual users, each with its own connections"),
        ("Its own limit", f"{limit.rate:,.0f}/s against a server that does nothing; usable to {limit.usable:,.0f}/s"),
        ("Its lateness", f"p99 {milliseconds(result.outcome.lateness.p(99))}, part of the latencies above"),
        ("Its CPU", f"{result.outcome.cpu_seconds:.1f} s for {result.outcome.requests:,} requests, warm-up included"),
        (
            "Measured from",
            machine,
        ),
        ("Kernel, Python", f"{profile.get('kernel')}, {profile.get('python')}"),
        ("Profile", str(profile.get("id"))),
    ]
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts if value)
    return _card("What was measured", f"<div class='scroll'><table class='facts'><tbody>{rows}</tbody></table></div>")
