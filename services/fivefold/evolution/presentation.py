"""A judgement as text for people, JSON for programs, Markdown for a review, and workflow commands for GitHub.

SARIF has its own module, `sarif`. Exit statuses are left to the command.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from fivefold.core.errors import ContractInvalid
from fivefold.evolution.changes import ChangeFinding
from fivefold.evolution.sarif import to_sarif
from fivefold.evolution.verdict import Judgement, Mode

_MEANS = {
    "FULL": "nobody breaks",
    "BACKWARD": "callers of the old version survive, those of the new one need the new model",
    "FORWARD": "the old model can come back, callers of the old version break",
    "NONE": "callers of both versions break",
}
_SHOWN = 400
"""Characters of an example in a report for people."""


def present(judgement: Judgement, style: str, mode: Mode = "full", file: Path | None = None) -> str:
    """The report in a format of `FORMATS`, with the findings of `mode`'s directions.

    `file` is the new contract.json, in which reviews place their remarks.
    """
    return FORMATS[style](judgement, mode, file)


def to_text(judgement: Judgement, mode: Mode) -> str:
    """Lines for a terminal, the worst first."""
    lines = [_headline(judgement)]
    for one in judgement.of(mode):
        word = "accepted" if one.allowed is not None else one.severity
        against = f"  against {one.against}" if one.against else ""
        lines.append(f"{word:<8}  {one.direction:<8}  {one.rule.id}{against}")
        lines += [f"{'':8}  {label}: {text}" for label, text in _about(one)]
    return "\n".join([*lines, *_traffic(judgement), _tail(judgement, mode)]) + "\n"


def to_json(judgement: Judgement, mode: Mode) -> str:
    """All of it, for programs."""
    return json.dumps(judgement.to_json(mode), indent=2, ensure_ascii=False) + "\n"


def to_markdown(judgement: Judgement, mode: Mode) -> str:
    """A table for a review, examples under it."""
    found = judgement.of(mode)
    lines = [f"**{_headline(judgement)}**", ""]
    if found:
        lines += ["| | direction | what | rule | fix |", "|--|--|--|--|--|"]
    for one in found:
        word = f"accepted: {one.allowed}" if one.allowed is not None else one.severity
        says = f"{one.says} (against {one.against})" if one.against else one.says
        fix = "" if one.severity == "info" else one.rule.fix
        cells = (word, one.direction, says, f"[{one.rule.id}]({one.rule.anchor})", fix)
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    for one in found:
        if one.example is not None:
            record = json.dumps(one.example.record, ensure_ascii=False)
            lines += ["", f"{_cell(one.path)}, {one.direction}: {one.example.outcome}", "", "```json", _cut(record)]
            lines += ["```", "", _cell(one.example.says)]
    if judgement.replayed is not None:
        lines += ["", *_traffic(judgement)]
    return "\n".join(lines) + "\n"


def to_github(judgement: Judgement, mode: Mode, file: Path | None = None) -> str:
    """Workflow commands, as in GitHub's "Workflow commands for GitHub Actions": a remark for each finding."""
    words = {"error": "error", "warning": "warning", "info": "notice"}
    lines = []
    for one in judgement.of(mode):
        word = "notice" if one.allowed is not None else words[one.severity]
        where = f"file={_property(file.as_posix())},line={line_of(file, one.path)}," if file is not None else ""
        body = "\n".join([one.says, *(f"{label}: {text}" for label, text in _about(one)[1:])])
        lines.append(f"::{word} {where}title={_property(one.rule.id)}::{_message(body)}")
    return "\n".join([*lines, f"::notice ::{_message(_headline(judgement))}"]) + "\n"


FORMATS: Mapping[str, Callable[[Judgement, Mode, Path | None], str]] = {
    "text": lambda judgement, mode, _: to_text(judgement, mode),
    "json": lambda judgement, mode, _: to_json(judgement, mode),
    "markdown": lambda judgement, mode, _: to_markdown(judgement, mode),
    "github": to_github,
    "sarif": lambda judgement, mode, file: to_sarif(judgement, mode, file, line_of),
}
"""The formats by the word that the command takes."""


def line_of(file: Path, path: str) -> int:
    """The line of a contract.json in which the field of a finding is named, 1 where it is not there."""
    side, _, name = path.partition(".")
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as err:
        raise ContractInvalid(f"cannot read {file}: {err}") from err
    member, value = (
        ("name", rf"\s*{re.escape(json.dumps(name, ensure_ascii=False))}") if name else (re.escape(side), "")
    )
    wanted = re.compile(rf'"{member}"\s*:{value}')
    inside = not name
    for number, line in enumerate(lines, 1):
        inside = inside or f'"{side}"' in line
        if inside and wanted.search(line):
            return number
    return 1


def _headline(judgement: Judgement) -> str:
    compatibility, bump = judgement.compatibility, judgement.bump
    moved = "no new version" if bump == "none" else f"a {bump} version"
    return f"{judgement.old} to {judgement.new}: {compatibility}, {_MEANS[compatibility]}; {moved}"


def _about(one: ChangeFinding) -> list[tuple[str, str]]:
    out = [("what", one.says), ("hits", ", ".join(one.rule.who(one.direction)))]
    if one.traffic is not None:
        out.append(("traffic", f"recorded requests that it hits: {one.traffic}"))
    if one.example is not None:
        record = _cut(json.dumps(one.example.record, ensure_ascii=False))
        out.append(("example", f"{record} is {one.example.outcome}: {one.example.says}"))
    if one.allowed is not None:
        out.append(("accepted", one.allowed))
    elif one.rule.fix != "nothing" and one.severity != "info":
        out.append(("fix", one.rule.fix))
    return out


def _traffic(judgement: Judgement) -> list[str]:
    replayed = judgement.replayed
    if replayed is None:
        return []
    lines = [f"traffic: {replayed.hit} of {replayed.read} recorded requests are refused or changed"]
    if replayed.foreign:
        lines[0] += f"; {replayed.foreign} more are none of {judgement.old}"
    return lines + [f"  {count:>8}  {path}  {rule or 'foreseen by no rule'}" for rule, path, count in replayed.by_place]


def _tail(judgement: Judgement, mode: Mode) -> str:
    found = judgement.of(mode)
    count = [f"{sum(o.severity == word and o.allowed is None for o in found)} {word}" for word in ("error", "warning")]
    others = f"; also against {', '.join(judgement.others)}" if judgement.others else ""
    return f"{', '.join(count)}, {len(found)} findings in all{others}"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;").replace("`", "\\`")


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
