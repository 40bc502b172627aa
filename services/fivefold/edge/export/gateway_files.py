"""`fivefold export --to gateway`: a directory to carry to a device that runs systemd.

    bundles/                   the bundles, one folder NAME-VERSION each, byte for byte
    wheels/                    this installation's own package: no package index has it
    gateway.env                the settings, each with what it is by default
    fivefold-gateway.service   the unit
    README.md                  the commands

What runs there is `fivefold.edge.gateway`'s. The settings are the owner's as soon as they are written, so a directory
that holds anything else is never written to.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fivefold.core import atomic
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import BundleInvalid
from fivefold.edge.gateway.served_models import check_target
from fivefold.exports.wheel import wheel

HOME: Final = "/opt/fivefold"
"""Where the device has the program, its bundles and its settings."""

UNIT: Final = "fivefold-gateway.service"
SETTINGS: Final = "gateway.env"

_SETTINGS: Final = """\
# Every setting of `fivefold gateway --help` is a variable here. What is commented out is the default.

FIVEFOLD_HTTP=127.0.0.1:8000
# FIVEFOLD_QUOTA_BYTES=1073741824
# FIVEFOLD_WHEN_FULL=reject_new

# The hub. Put the device's key into /opt/fivefold/hub-key (chmod 600) and take the comment off its line in the unit.
# FIVEFOLD_HUB=https://hub.example
# FIVEFOLD_DEVICE=pump-7

# Requests by MQTT, at fivefold/MODEL.
# FIVEFOLD_MQTT=mqtt://127.0.0.1:1883
"""


def write(models: Sequence[Path], directory: Path) -> list[Path]:
    """Write what a device needs of these bundles (directories or `.tar`) to a new directory, all of it or nothing.

    Gives the paths of what lies there, a bundle's as its folder. Raises `BundleInvalid` for a bundle that does not
    open or is not for gateways, or two of the same name and version, and `FileExistsError` for a directory that is
    there and not empty.
    """
    folders: dict[str, Bundle] = {}
    for path in models:
        bundle = Bundle.open(path)
        check_target(bundle)
        folder = f"bundles/{bundle.name}-{bundle.version}"
        if folder in folders:
            help = "give each a name and a version of its own when packing"
            raise BundleInvalid(f"two bundles would lie in {folder}", help=help)
        folders[folder] = bundle
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise FileExistsError(errno.EEXIST, "is there already and not empty; name another one", str(directory))
    files = {f"{folder}/{name}": bundle.read(name) for folder, bundle in folders.items() for name in bundle.names()}
    name, data = wheel()
    files[f"wheels/{name}"] = data
    files[SETTINGS] = _SETTINGS.encode()
    files[UNIT] = _unit(list(folders)).encode()
    files["README.md"] = _readme(name, next(iter(folders.values()))).encode()
    atomic.replace_directory(directory.resolve(), files)
    top = {path if path.count("/") < 2 else "/".join(path.split("/")[:2]): None for path in files}
    return [directory / path for path in sorted(top)]


def _unit(folders: Sequence[str]) -> str:
    models = " ".join(f"--model {HOME}/{folder}" for folder in folders)
    return f"""\
[Unit]
Description=Fivefold gateway
After=network.target

[Service]
ExecStart={HOME}/bin/fivefold gateway {models} --data /var/lib/fivefold-gateway
EnvironmentFile={HOME}/{SETTINGS}
# LoadCredential=hub-key:{HOME}/hub-key
# Environment=FIVEFOLD_HUB_KEY_FILE=%d/hub-key
# What it has acknowledged is on the disk, so it may be ended and begun again at any time.
Restart=always
RestartSec=2
TimeoutStopSec=60
DynamicUser=yes
StateDirectory=fivefold-gateway
StateDirectoryMode=0700
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictSUIDSGID=yes
LockPersonality=yes
CapabilityBoundingSet=

[Install]
WantedBy=multi-user.target
"""


def _readme(wheel_name: str, bundle: Bundle) -> str:
    return f"""\
# A Fivefold gateway

Needs Linux with systemd, on x86-64 or 64-bit ARM, and Python 3.11 or newer. On the device, in this directory, as root:

```sh
python3 -m venv {HOME}
{HOME}/bin/pip install 'wheels/{wheel_name}[edge]'
cp -r bundles {SETTINGS} {HOME}/
cp {UNIT} /etc/systemd/system/
systemctl daemon-reload
systemctl enable --now fivefold-gateway
```

Ask it, and see how it stands:

```sh
curl -s http://127.0.0.1:8000/v1/models/{bundle.name}
{HOME}/bin/fivefold gateway status --data /var/lib/fivefold-gateway
journalctl -u fivefold-gateway
```

The page at http://127.0.0.1:8000/ has a request to paste. Settings are in `{HOME}/{SETTINGS}`; after a change
`systemctl restart fivefold-gateway`. What it has answered lies in `/var/lib/fivefold-gateway` until a hub has it: keep
that directory when the device is set up anew.
"""
