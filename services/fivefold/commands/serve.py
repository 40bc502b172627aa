"""`fivefold serve` and `fivefold replace`: running is `fivefold.online`'s work."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from fivefold.commands.words import (
    USAGE,
    add,
    add_bundle_words,
    add_default_versions,
    add_json,
    add_model_references,
    add_providers,
    complain,
    print_json,
)


def _serve(arguments: argparse.Namespace) -> int:
    from fivefold.core.settings import SettingsError, read
    from fivefold.delivery.settings import DeliverySettings
    from fivefold.online.settings import OnlineSettings

    models = [*arguments.bundles, *arguments.model]
    if not models:
        complain("expected a bundle to serve", "fivefold serve BUNDLE; fivefold demo bundles/demo makes one")
        return USAGE
    if arguments.reload and not arguments.dev:
        complain("--reload goes with --dev; elsewhere: fivefold replace", "fivefold serve --help")
        return USAGE
    given = {name: getattr(arguments, name) for name in _SERVE_SETTINGS}
    if arguments.cors:
        given["cors_origins"] = tuple(arguments.cors)
    if arguments.no_page:
        given["page"] = False
    if arguments.no_input_statistics:
        given["input_statistics"] = False
    defaults = dict(text.split("=", 1) for text in arguments.default)
    try:
        settings = read(OnlineSettings, **given)
        delivery = read(DeliverySettings)
    except SettingsError as err:
        complain(str(err), "fivefold serve --help")
        return USAGE
    if settings.page_runtime:
        settings = replace(settings, page_runtime=_web_runtime(settings.page_runtime))
    if arguments.dev:
        from fivefold.online.dev.dev_process import serve_dev

        return serve_dev(models, settings, defaults=defaults, delivery=delivery, reload=arguments.reload)
    from fivefold.online.local.lifecycle import serve

    return serve(models, settings, defaults=defaults, delivery=delivery)


def _web_runtime(place: str) -> str:
    """Where the processes that answer find the browser's runtime: they fetch nothing themselves."""
    from fivefold.exports.web_runtime import kept

    return str(kept(None if place == "auto" else Path(place)))


_SERVE_SETTINGS = (
    "http",
    "grpc",
    "allow_public",
    "keys",
    "oidc_issuer",
    "oidc_audience",
    "oidc_jwks",
    "min_replicas",
    "max_replicas",
    "max_rows",
    "max_body_bytes",
    "max_inflight",
    "max_wait",
    "default_timeout",
    "record",
    "page_runtime",
)


def add_serve(commands: Any) -> None:
    serve = add(
        commands,
        "serve",
        _serve,
        "serve bundles over REST and gRPC until Ctrl-C; fivefold replace swaps them meanwhile",
        "fivefold serve bundles/demo",
        "fivefold serve bundles/demo --dev --reload      one process without Ray, there at once",
        "fivefold serve bundles/a bundles/b --http 127.0.0.1:8080      the same as --model bundles/a --model bundles/b",
        "fivefold serve --model bundles/a --model bundles/b --http 127.0.0.1:8080 --max-replicas 4",
        "fivefold serve --model bundles/demo --keys keys.json --http 0.0.0.0:8000 --grpc 0.0.0.0:9000",
        "fivefold serve --model https://host/demo.tar#sha256=DIGEST      DIGEST is what fivefold bundle show prints",
        "fivefold serve --model bundles/demo --record requests.jsonl      for fivefold difference and fivefold check",
        "fivefold serve --model bundles/demo --page-runtime      the page at / runs the model too, beside the server",
        "fivefold serve --model bundles/demo --providers cuda      on a GPU, or not at all; cuda,cpu may fall back",
        "FIVEFOLD_MAX_ROWS=1000 fivefold serve --model bundles/demo      every setting is also a variable",
    )
    add_bundle_words(serve)
    add_model_references(serve)
    add_providers(serve)
    serve.add_argument(
        "--dev",
        action="store_true",
        help="answer from this one process, without Ray: it starts in about a second, and nothing starts it again",
    )
    serve.add_argument(
        "--reload",
        action="store_true",
        help="with --dev: open a bundle again when its directory changes; a broken one is told, the old one answers on",
    )
    serve.add_argument("--http", metavar="HOST:PORT", help="default 127.0.0.1:8000")
    serve.add_argument("--grpc", metavar="HOST:PORT", help="default 127.0.0.1:9000")
    add_default_versions(serve)
    serve.add_argument("--min-replicas", type=int, metavar="N", help="replicas kept when idle (default: 1)")
    serve.add_argument("--max-replicas", type=int, metavar="N", help="replicas at most (default: 1)")
    serve.add_argument("--max-rows", type=int, metavar="N", help="rows a request may have (default: 100000)")
    serve.add_argument(
        "--max-body-bytes", type=int, metavar="N", help="bytes a request may have (default: 67108864, 64 MiB)"
    )
    serve.add_argument(
        "--max-inflight", type=int, metavar="N", help="requests in work at once, by model and replica (default: 256)"
    )
    serve.add_argument(
        "--max-wait",
        type=float,
        metavar="SECONDS",
        help="a request that would wait longer for a busy model is refused, bursts excepted (default: 0.01)",
    )
    serve.add_argument(
        "--default-timeout", type=float, metavar="SECONDS", help="deadline of a request that names none (default: 60)"
    )
    serve.add_argument(
        "--keys", metavar="PATH", help="ask for an API key of this file or directory: fivefold keys create"
    )
    serve.add_argument("--oidc-issuer", metavar="URL", help="take this issuer's tokens")
    serve.add_argument("--oidc-audience", metavar="NAME", help="what those tokens must name as their audience")
    serve.add_argument("--oidc-jwks", metavar="URL", help="the issuer's keys, where it does not say where they are")
    serve.add_argument(
        "--allow-public",
        action="store_true",
        default=None,
        help="listen beyond this machine although nobody is asked who they are",
    )
    serve.add_argument(
        "--cors",
        metavar="ORIGIN",
        action="append",
        default=[],
        help="let pages of this origin (https://app.example) read the answers; repeatable",
    )
    serve.add_argument(
        "--record",
        metavar="FILE",
        help="keep a sample of the requests, each process in a file of its own beside FILE; FIVEFOLD_RECORD_REDACT "
        "names inputs whose values are not kept",
    )
    serve.add_argument(
        "--page-runtime",
        metavar="DIR",
        nargs="?",
        const="auto",
        help="the page at / fetches the bundle and runs it in the browser too, on onnxruntime-web: out of DIR, this "
        "user's cache, or npm. With keys it asks for the scope bundles",
    )
    serve.add_argument("--no-page", action="store_true", help="no page for people at /")
    serve.add_argument(
        "--no-input-statistics", action="store_true", help="do not count what comes in for each input field"
    )


def _replace(arguments: argparse.Namespace) -> None:
    from fivefold.delivery.reference import Reference
    from fivefold.online.local.control_socket import ReplaceOrder
    from fivefold.online.local.running import choose

    # The server works in a directory of its own.
    models = [str(Reference.parse(model).absolute()) for model in (*arguments.bundles, *arguments.model)] or None
    order = ReplaceOrder(
        models,
        dict(text.split("=", 1) for text in arguments.default),
        tuple(arguments.accept_contract_change),
        tuple(arguments.accept_removal),
    )
    served = choose(arguments.http).replace(order, lambda text: print(text, file=sys.stderr, flush=True))
    if arguments.json:
        print_json({"models": served["models"]})
        return
    for model in served["models"]:
        print(f"{model['name']}  {model['version']}  {model['bundle']}")


def add_replace(commands: Any) -> None:
    """Add `replace`."""
    replace = add(
        commands,
        "replace",
        _replace,
        "swap the bundles of a running serve in place; nothing is lost, and a bundle that is refused changes nothing",
        "fivefold replace bundles/new                              what is served from now on, all of it",
        "fivefold replace                                          open again what is served, as SIGHUP does",
        "fivefold replace bundles/a bundles/b --default churn=2 --http 127.0.0.1:8080",
        "fivefold replace bundles/new --accept-contract-change churn",
    )
    add_bundle_words(replace)
    add_model_references(replace)
    add_default_versions(replace)
    replace.add_argument("--http", metavar="HOST:PORT", help="where the server has REST, if several run here")
    replace.add_argument(
        "--accept-contract-change",
        metavar="MODEL",
        action="append",
        default=[],
        help="its callers may get less than they have now; repeatable",
    )
    replace.add_argument(
        "--accept-removal", metavar="MODEL", action="append", default=[], help="it is served no more; repeatable"
    )
    add_json(replace)
