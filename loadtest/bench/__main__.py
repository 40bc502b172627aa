"""Fivefold beside the servers one would otherwise pick: the same model, the same rows, the same machine, turn by turn.

    python -m loadtest.bench [--only NAME …] [--comparison rows|tensors] [--rounds 5] [--seconds 3] [--quick]

Two comparisons, one after the other: `rows` are small requests to a model of trees, `tensors` are images of 0.6 MB and
batches of 9.6 MB to a model that does next to nothing with them. Every server is started in its own environment (`make
bench` makes them), must give the bundle's golden answers, and is paused while another one is measured (those on Ray
idle), so that only one is at work at a time. Each round measures every server under every workload in another order;
what counts is the median of each round's ratio. wrk asks over HTTP, ghz over gRPC. A server that answers anything but
success ends the run.

The tables go to standard output; a comparison that is whole (every server, five rounds or more) is also written between
its markers of docs/measurements.md, as soon as it is done, with the pictures in docs/plots. Every figure is kept in
.cache/bench. Who is compared, and how, is in `loadtest.bench.contenders` and `loadtest.bench.tensors`; the servers
themselves are in `loadtest.peers`.

    make bench                                            all of it: about three quarters of an hour
    python -m loadtest.bench --quick --only asgi mosec    whether these two work
    python -m loadtest.bench --comparison tensors         images alone: about a quarter of an hour
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from fivefold.core.bundle.bundle import Bundle
from loadtest import document
from loadtest.bench import questions, section, tools
from loadtest.bench.comparison import FIVEFOLD, BenchComparison, Contender, Workload
from loadtest.bench.contenders import ROWS_BESIDE_OTHERS
from loadtest.bench.rates import BenchResult
from loadtest.bench.running import END_SECONDS, Running
from loadtest.bench.tensors import TENSORS_BESIDE_OTHERS
from loadtest.machine import hardware, measurement
from loadtest.machine.measurement import Differs, Failed, NotMeasured, positive, say
from loadtest.machine.programs import ROOT, demand_environment, find, library_version, version

COMPARISONS = (ROWS_BESIDE_OTHERS, TENSORS_BESIDE_OTHERS)
WARM_SECONDS = 1
MOST_SECONDS = 60
WHOLE_ROUNDS = 5
DOCUMENT = ROOT / "docs" / "measurements.md"


@measurement.exits(not_measured=1)
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, keep; the exit status is 1 where it could not be done, 130 after Ctrl-C."""
    given = _parser().parse_args(arguments)
    wanted = [each for each in COMPARISONS if given.comparison in (None, each.name)]
    whose = [(each, chosen) for each in wanted if (chosen := each.chosen(given.only or ()))]
    if not whose:
        raise NotMeasured(f"{given.comparison} has none of {', '.join(given.only)}")
    rounds, seconds = (1, 1) if given.quick else (given.rounds, given.seconds)
    measurement.ready()
    _demand([who for _, chosen in whose for who in chosen])
    for comparison, chosen in whose:
        with measurement.scratch(Path(tempfile.gettempdir()), "ff-bench-") as directory:
            result = measure(comparison, chosen, rounds, seconds, directory, memory=not given.no_memory)
        _publish(result, whole=rounds >= WHOLE_ROUNDS and not given.no_memory)
    return 0


def _publish(result: BenchResult, *, whole: bool) -> None:
    comparison = result.comparison
    print(section.markdown(result), flush=True)
    say(section.verdicts(result))
    document.keep(result.json(), f"{comparison.name}-")
    if whole and len(result.who) == len(comparison.contenders):
        say("written: " + ", ".join(str(path.relative_to(ROOT)) for path in section.write(result, DOCUMENT)))
    else:
        say(f"a part of the comparison, or a short one: {DOCUMENT.relative_to(ROOT)} is left as it is")


def measure(
    comparison: BenchComparison,
    chosen: Sequence[Contender],
    rounds: int,
    seconds: int,
    directory: Path,
    *,
    memory: bool,
) -> BenchResult:
    """Start everybody, measure, weigh, end everybody."""
    say(f"{comparison.name}: making the model")
    bundles = directory / "bundles"
    bundles.mkdir()
    asked = comparison.prepare(bundles)
    compile_protocol(directory / "protos")
    running: list[Running] = []
    try:
        for who in chosen:
            say(f"starting {who.title}")
            running.append(Running(who, comparison, directory, bundles, asked))
            running[-1].pause()
        result = BenchResult(comparison, chosen, rounds, seconds, _profile(chosen, bundles / asked.model))
        for index in range(rounds):
            for workload in comparison.workloads:
                for connections in workload.connections:
                    _turn(running, workload, connections, index, result, directory)
        if memory and comparison.weighed is not None:
            weigh(comparison.weighed, running, directory, bundles, asked, result)
        return result
    finally:
        _end(running)


def _turn(
    running: Sequence[Running], workload: Workload, connections: int, index: int, result: BenchResult, directory: Path
) -> None:
    """Everybody once, beginning with another one in every round."""
    taking = [each for each in running if each.who.takes(workload)]
    if len(taking) < 2:
        return
    first = index * max(1, len(taking) // result.rounds) % len(taking)
    for each in (*taking[first:], *taking[:first]):
        each.resume()
        try:
            each.check()
            with contextlib.suppress(tools.Slow):
                load(each, workload, connections, WARM_SECONDS, directory)
            rate, cpu = _measured(each, workload, connections, result.seconds, directory)
        except (Failed, OSError) as error:
            raise Failed(f"{each.who.title}: {error}\n{each.output()}") from error
        each.pause()
        result.add(each.who, workload, connections, rate, cpu)
        say(f"round {index + 1} of {result.rounds}, {workload.name} {connections}: {each.who.name} {rate:,.1f}/s")


def _measured(
    server: Running, workload: Workload, connections: int, seconds: int, directory: Path
) -> tuple[float, float]:
    """Requests a second and seconds of CPU a request; a server that answers nothing in the time gets more of it."""
    while True:
        before = server.cpu_seconds()
        try:
            rate = load(server, workload, connections, seconds, directory)
        except tools.Slow:
            if seconds > MOST_SECONDS:
                raise
            seconds *= 4
        else:
            return rate, (server.cpu_seconds() - before) / (rate * seconds)


def load(server: Running, workload: Workload, connections: int, seconds: int, directory: Path) -> float:
    """Requests a second of one server that nothing else disturbs."""
    if workload.grpc:
        return tools.ghz(server.grpc, connections, seconds, server.payloads[workload.name], directory / "protos")
    ask = server.asks[workload.name]
    return tools.wrk(f"http://127.0.0.1:{server.http}{ask.path}", connections, seconds, server.scripts[workload.name])


def weigh(
    beside: Contender,
    running: Sequence[Running],
    directory: Path,
    bundles: Path,
    asked: questions.Question,
    result: BenchResult,
) -> None:
    """The memory of every model's process after its load, and of the one to be put beside Fivefold's after some."""
    for each in running:
        result.weights[each.who.name] = each.weight()
    say(f"starting {beside.title}, for its memory")
    bare = Running(beside, result.comparison, directory, bundles, asked)
    try:
        for workload in result.comparison.workloads:
            if workload.name in bare.asks:
                load(bare, workload, workload.connections[-1], result.seconds, directory)
        result.weights[beside.name] = bare.weight()
    finally:
        bare.end()


def compile_protocol(target: Path) -> None:
    """Our own text of the Open Inference Protocol as Python modules for the peers, without our package around them."""
    from grpc_tools import protoc

    source = ROOT / "services" / "fivefold" / "serving" / "grpc" / "proto"
    files = [source / "inference.proto", source / "model_config.proto"]
    (target / "oip").mkdir(parents=True)
    for file in files:
        text = file.read_text().replace("fivefold/serving/grpc/proto/", "oip/")
        (target / "oip" / file.name).write_text(text)
    out = [f"--python_out={target}", f"--grpc_python_out={target}"]
    if protoc.main(["protoc", f"--proto_path={target}", *out, *(f"oip/{file.name}" for file in files)]):
        raise Differs("the protobuf compiler refused a file")


def _demand(chosen: Sequence[Contender]) -> None:
    """Everything that has to be installed, before anything is started."""
    find("wrk")
    if sum(each.grpc for each in chosen) > 1:
        find("ghz")
    for each in chosen:
        demand_environment(each.title, each.python, each.environment)


def _profile(chosen: Sequence[Contender], bundle: Path) -> dict[str, object]:
    digest = Bundle.open(bundle).digest
    found = hardware.profile(bundle=digest, tools={name: version(name) for name in ("wrk", "ghz")})
    versions = dict(found["versions"])
    for name in ("fastapi", "uvicorn", "pydantic"):
        versions[name] = metadata.version(name)
    for name in dict.fromkeys(each.environment for each in chosen if each.environment):
        python = next(each.python for each in chosen if each.environment == name)
        versions[name] = library_version(name, python, name, versions["onnxruntime"])
    return {**found, "versions": versions}


def _end(running: Sequence[Running]) -> None:
    """All at once, so that the slowest one is what it takes; whatever is left after that is swept."""
    for each in running:
        each.ask_to_end()
    deadline = time.monotonic() + END_SECONDS
    for each in running:
        each.end(deadline)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = list(dict.fromkeys(who.name for each in COMPARISONS for who in each.contenders if who.name != FIVEFOLD))
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"some of {', '.join(names)}")
    parser.add_argument(
        "--comparison", choices=[each.name for each in COMPARISONS], help="one of the two; both where none is named"
    )
    parser.add_argument("--rounds", type=positive, default=WHOLE_ROUNDS)
    parser.add_argument("--seconds", type=positive, default=3, help="of each measurement, after a second of warming up")
    parser.add_argument("--quick", action="store_true", help="one round of a second: whether it works, not how fast")
    parser.add_argument("--no-memory", action="store_true", help="weigh nobody")
    return parser


if __name__ == "__main__":
    sys.exit(main())
