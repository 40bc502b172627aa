"""A BentoML service around Fivefold's HTTP application: a directory to serve from and to build a container from.

    service.py          the service; the only file that imports BentoML
    bundles/            the bundles, one folder NAME-VERSION each
    wheels/             this installation's own package: no package index has it
    requirements.txt    what the service needs beside BentoML
    README.md           the commands
    export.json         the digests of these files, by which a later export knows what it may replace

Nothing here imports BentoML or a server: the service is text. What it answers is `fivefold.serving`'s; building and
running it is BentoML's.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from fivefold.core import atomic
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import BundleInvalid
from fivefold.exports.wheel import wheel

MARK = "export.json"
"""The file that makes a directory one that this export may replace."""

_COMPUTING = ("numpy", "onnxruntime")
"""Pinned to the versions of this installation, whose answers are the proven ones; BentoML locks everything else."""


def write(models: Sequence[Path], directory: Path) -> list[Path]:
    """Write the service of these bundles (directories or `.tar`) to a directory, all of it or nothing.

    Gives the paths of what lies there, a bundle's as its folder. The same bundles from the same installation give the
    same bytes, and a directory that holds them already is left as it is. Raises `BundleInvalid` for a bundle that does
    not open, or two of the same name and version, and `FileExistsError` for a directory that holds anything which an
    earlier export did not write.
    """
    folders = _folders([Bundle.open(path) for path in models])
    files = {f"{folder}/{name}": bundle.read(name) for folder, bundle in folders.items() for name in bundle.names()}
    name, data = wheel()
    files[f"wheels/{name}"] = data
    files["requirements.txt"] = _requirements(name)
    files["service.py"] = _service(list(folders))
    files["README.md"] = _readme(folders)
    files[MARK] = _mark(files)
    if _check_replaceable(directory) != _digests(files):
        atomic.replace_directory(directory.resolve(), files)
    top = {path if path.count("/") < 2 else "/".join(path.split("/")[:2]): None for path in files}
    return [directory / path for path in sorted(top)]


def _folders(bundles: Sequence[Bundle]) -> dict[str, Bundle]:
    out: dict[str, Bundle] = {}
    for bundle in bundles:
        folder = f"bundles/{bundle.name}-{bundle.version}"
        if folder in out:
            help = "give each a name and a version of its own when packing"
            raise BundleInvalid(f"two bundles would lie in {folder}", help=help)
        out[folder] = bundle
    return out


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {path: hashlib.sha256(data).hexdigest() for path, data in sorted(files.items())}


def _mark(files: Mapping[str, bytes]) -> bytes:
    marked = {"format": "bentoml", "fivefold": metadata.version("fivefold"), "files": _digests(files)}
    return (json.dumps(marked, indent=2) + "\n").encode()


def _check_replaceable(directory: Path) -> dict[str, str]:
    """The digests of what stands there; raises where any of it is not as an earlier export wrote it."""
    if not directory.exists():
        return {}
    if not directory.is_dir():
        raise FileExistsError(errno.EEXIST, "expected a directory, found a file", str(directory))
    standing = directory / MARK
    if not standing.is_file():
        if any(directory.iterdir()):
            raise FileExistsError(
                errno.EEXIST, "holds something other than an export; name another one", str(directory)
            )
        return {}
    known = _known(standing)
    found = {}
    for path in sorted(directory.rglob("*")):
        if "__pycache__" in path.parts or (path.is_dir() and not path.is_symlink()):
            continue
        name = path.relative_to(directory).as_posix()
        found[name] = "" if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
        if name != MARK and known.get(name) != found[name]:
            words = "was changed" if name in known else "was added"
            message = f"{words} after the export; move it away or name another directory"
            raise FileExistsError(errno.EEXIST, message, str(path))
    return found


def _known(mark: Path) -> dict[str, str]:
    try:
        marked = json.loads(mark.read_bytes())
        return dict(marked["files"]) if marked["format"] == "bentoml" else {}
    except (ValueError, TypeError, KeyError):
        return {}


def _requirements(name: str) -> bytes:
    pins = [f"{library}=={metadata.version(library)}" for library in _COMPUTING]
    return "\n".join([f"./wheels/{name}", *_extra("http"), *pins, ""]).encode()


def _extra(extra: str) -> list[str]:
    """What an extra of ours asks for: BentoML misspells an extra that stands behind a wheel's path."""
    parts = (text.replace('"', "'").partition(";") for text in metadata.requires("fivefold") or ())
    return sorted(needed.strip() for needed, _, when in parts if when.strip() == f"extra == '{extra}'")


def _service(folders: Sequence[str]) -> bytes:
    listed = "".join(f'    "{folder}",\n' for folder in folders)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return _SERVICE.replace("@BUNDLES@\n", listed).replace("@PYTHON@", python).encode()


def _readme(folders: Mapping[str, Bundle]) -> bytes:
    first = next(iter(folders.values()))
    row = first.golden()[0].slice(0, 1).to_records()
    example = f"""\
curl -sS http://127.0.0.1:3000/v1/models/{first.name}:predict \\
  -H 'content-type: application/json' \\
  -d {shlex.quote(json.dumps({"instances": row}, ensure_ascii=False))}"""
    served = "".join(f"- `{bundle.name}` version `{bundle.version}`\n" for bundle in folders.values())
    return _README.replace("@SERVED@\n", served).replace("@EXAMPLE@", example).encode()


_SERVICE = '''\
"""Fivefold's HTTP application as a BentoML service. Written by `fivefold export --to bentoml`; README.md has the words.

Every FIVEFOLD_* variable of `fivefold serve` that concerns HTTP is read here too, such as FIVEFOLD_MAX_ROWS=1000.
"""

import os
import sys
from pathlib import Path

import bentoml

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.settings import read
from fivefold.core.telemetry import Telemetry, log_to
from fivefold.guard import Guard
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.http import app
from fivefold.serving.limits import ServingLimits
from fivefold.serving.origins import Origins
from fivefold.serving.repository import Model, Repository

BUNDLES = (
@BUNDLES@
)
HERE = Path(__file__).resolve().parent
SETTINGS = read(ServingLimits)


class Application:
    """The ASGI application. Workers open its models; BentoML imports this file in processes that answer nobody too."""

    def open(self):
        """Open, verify and test every bundle; raises before the worker takes its first request."""
        log_to(sys.stderr)
        telemetry = Telemetry("online", log_sample=SETTINGS.log_sample)
        self.guard = Guard.of(SETTINGS)
        origins = Origins.of(SETTINGS, local=False)
        self.serving = Dataplane(Repository(models()), SETTINGS, telemetry, self.guard, origins=origins)
        if self.guard is not None:
            self.guard.start()
        self.answer = app(self.serving, SETTINGS)

    def close(self):
        """Finish what has begun, then close the models."""
        if self.guard is not None:
            self.guard.close()
        self.serving.close()

    async def __call__(self, scope, receive, send):
        await self.answer(scope, receive, send)


application = Application()


def models():
    """Every bundle, opened, verified and tested."""
    return [Model(bundle, Scorer.open(bundle)) for bundle in map(Bundle.open, [HERE / folder for folder in BUNDLES])]


class Probes:
    """BentoML looks at its own /livez and /readyz before any mounted application; these two are Fivefold's."""

    def __init__(self, rest):
        self.rest = rest

    async def __call__(self, scope, receive, send):
        ours = scope["type"] == "http" and scope["path"] in ("/livez", "/readyz")
        await (application if ours else self.rest)(scope, receive, send)


image = (
    bentoml.images.Image(python_version="@PYTHON@")
    .python_packages(*(HERE / "requirements.txt").read_text().splitlines())
    .build_include("wheels")
)


@bentoml.asgi_app(application)
@bentoml.service(
    name="fivefold",
    image=image,
    # Nobody is asked who they are: outside a container, other machines reach it only where --host says so.
    http={"host": "0.0.0.0" if "BENTOML_CONTAINERIZED" in os.environ else "127.0.0.1"},
    # Deadlines are the application's, with its own error; BentoML's stands behind them.
    traffic={"timeout": SETTINGS.body_timeout + SETTINGS.default_timeout + 5.0},
    # The application counts and logs each request; /metrics is its own, and its labels cannot be made up by callers.
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Service:
    """Opens the application when a worker starts, and lets it finish when the worker stops."""

    @bentoml.on_deployment
    def check():
        for model in models():
            model.scorer.close()

    def __init__(self):
        application.open()

    @bentoml.on_shutdown
    def close(self):
        application.close()


Service.add_asgi_middleware(Probes)
'''

_README = """\
# A BentoML service

Written by `fivefold export --to bentoml`. It serves

@SERVED@

over the same HTTP application as `fivefold serve`: the same routes, answers, metadata and errors.

## Run it

In an environment of its own, in this directory:

```sh
python -m pip install 'bentoml>=1.4.39,<1.5' -r requirements.txt
bentoml serve
```

```sh
@EXAMPLE@
```

It listens on this machine alone, unless `--host 0.0.0.0` says otherwise: nobody is asked who they are. Ctrl-C lets it
finish what it has begun.

## Put it in a container

```sh
bentoml build                            # locks every package, so it needs a package index
bentoml containerize fivefold:latest
docker run --rm -p 127.0.0.1:3000:3000 fivefold:TAG
```

The image installs Fivefold from `wheels/`, and numpy and onnxruntime in the versions that this export was written with.
What a Python model imports beyond the standard library and these belongs into `requirements.txt`. In its container the
service listens on every address.

## Beside `fivefold serve`

- HTTP alone: there is no gRPC.
- `/healthz` and `/schema.json` are BentoML's. Everything else is Fivefold's, `/livez`, `/readyz` and `/metrics` too.
- BentoML's own metrics are off, because they would take `/metrics` and label it with every path that a caller makes up;
  `metrics` in `service.py` turns them on.
- With `workers` above 1 in `service.py`, each worker opens the models, and a scrape of `/metrics` meets one of them.
- The limits are `fivefold serve`'s: `FIVEFOLD_MAX_ROWS`, `FIVEFOLD_MAX_BODY_BYTES`, `FIVEFOLD_MAX_INFLIGHT`,
  `FIVEFOLD_DEFAULT_TIMEOUT` (seconds) and so on, read when the service starts.

A later export replaces this directory as long as nobody has changed anything in it.
"""
