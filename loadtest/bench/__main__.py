"""Fivefold beside the servers one would otherwise pick: the same model, the same rows, the same machine, turn by turn.

    python -m loadtest.bench [--only NAME …] [--rounds 5] [--seconds 3] [--quick]

Every server is started in its own environment (`make bench` makes them), must give the bundle's golden answers, and is
paused while another one is measured (those on Ray idle), so that only one is at work at a time. Each round measures
every server under every workload in another order; what counts is the median of each round's ratio. wrk asks over HTTP,
ghz over gRPC. A server that answers anything but success ends the run.

The tables go to standard output; a whole run (every server, five rounds or more) also writes them between the markers
of docs/measurements.md with the pictures in docs/plots. Every figure is kept in .cache/bench. Who is compared, and how,
is in `loadtest.bench.contenders`; the servers themselves are in `loadtest.peers`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from fivefold.core.bundle.bundle import Bundle
from loadtest import document
from loadtest.bench import questions, section, tools
from loadtest.bench.contenders import BARE_RAY, CONTENDERS, FIVEFOLD, WORKLOADS, Contender, Workload
from loadtest.bench.rates import BenchResult
from loadtest.bench.running import END_SECONDS, Running
from loadtest.machine import hardware, measurement
from loadtest.machine.measurement import Differs, Failed, positive, say
from loadtest.machine.programs import ROOT, demand_environment, find, library_version, version

WARM_SECONDS = 1
WHOLE_ROUNDS = 5
DOCUMENT = ROOT / "docs" / "measurements.md"


@measurement.exits(not_measured=1)
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, keep; the exit status is 1 where it could not be done, 130 after Ctrl-C."""
    given = _parser().parse_args(arguments)
    chosen = [each for each in CONTENDERS if not given.only or each is FIVEFOLD or each.name in given.only]
    rounds, seconds = (1, 1) if given.quick else (given.rounds, given.seconds)
    measurement.ready()
    with measurement.scratch(Path(tempfile.gettempdir()), "ff-bench-") as directory:
        _demand(chosen)
        result = measure(chosen, rounds, seconds, directory, memory=not given.no_memory)
    print(section.markdown(result))
    say(section.verdicts(result))
    document.keep(result.json())
    if len(chosen) == len(CONTENDERS) and rounds >= WHOLE_ROUNDS and not given.no_memory:
        say("written: " + ", ".join(str(path.relative_to(ROOT)) for path in section.write(result, DOCUMENT)))
    else:
        say(f"a part of the comparison, or a short one: {DOCUMENT.relative_to(ROOT)} is left as it is")
    return 0


def measure(chosen: Sequence[Contender], rounds: int, seconds: int, directory: Path, *, memory: bool) -> BenchResult:
    """Start everybody, measure, weigh, end everybody."""
    say("training the model")
    bundles = directory / "bundles"
    bundles.mkdir()
    questions.make_bundles(bundles)
    asked = questions.question(bundles)
    compile_protocol(directory / "protos")
    running: list[Running] = []
    try:
        for who in chosen:
            say(f"starting {who.title}")
            running.append(Running(who, directory, bundles, asked))
            running[-1].pause()
        result = BenchResult(chosen, rounds, seconds, _profile(chosen, bundles))
        for index in range(rounds):
            for workload in WORKLOADS:
                for connections in workload.connections:
                    _turn(running, workload, connections, index, result, directory)
        if memory:
            weigh(running, directory, bundles, asked, result)
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
            load(each, workload, connections, WARM_SECONDS, directory)
            rate = load(each, workload, connections, result.seconds, directory)
        except (Failed, OSError) as error:
            raise Failed(f"{each.who.title}: {error}\n{each.output()}") from error
        each.pause()
        result.add(each.who, workload, connections, rate)
        say(f"round {index + 1} of {result.rounds}, {workload.name} {connections}: {each.who.name} {rate:,.0f}/s")


def load(server: Running, workload: Workload, connections: int, seconds: int, directory: Path) -> float:
    """Requests a second of one server that nothing else disturbs."""
    if workload.grpc:
        return tools.ghz(server.grpc, connections, seconds, server.messages[workload.name], directory / "protos")
    ask = server.asks[workload.name]
    return tools.wrk(f"http://127.0.0.1:{server.http}{ask.path}", connections, seconds, server.scripts[workload.name])


def weigh(
    running: Sequence[Running], directory: Path, bundles: Path, asked: questions.Question, result: BenchResult
) -> None:
    """The memory of every model's process after its load, and of a bare Ray Serve replica after some."""
    for each in running:
        result.weights[each.who.name] = each.weight()
    say(f"starting {BARE_RAY.title}, for its memory")
    bare = Running(BARE_RAY, directory, bundles, asked)
    try:
        for workload in WORKLOADS[:2]:
            load(bare, workload, workload.connections[-1], result.seconds, directory)
        result.weights[BARE_RAY.name] = bare.weight()
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


def _profile(chosen: Sequence[Contender], bundles: Path) -> dict[str, object]:
    digest = Bundle.open(bundles / questions.ONE_FIELD).digest
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
    names = [each.name for each in CONTENDERS if each is not FIVEFOLD]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"some of {', '.join(names)}")
    parser.add_argument("--rounds", type=positive, default=WHOLE_ROUNDS)
    parser.add_argument("--seconds", type=positive, default=3, help="of each measurement, after a second of warming up")
    parser.add_argument("--quick", action="store_true", help="one round of a second: whether it works, not how fast")
    parser.add_argument("--no-memory", action="store_true", help="weigh nobody")
    return parser


if __name__ == "__main__":
    sys.exit(main())
