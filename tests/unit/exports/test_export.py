"""What holds for every format."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256

import pytest
from hypothesis import given, settings
from tests.support.contract_values import contracts, every_rule

from fivefold.core.contract.contract import Contract
from fivefold.exports import FORMATS, export

SCRIPT = """
from hashlib import sha256
from fivefold.exports import FORMATS, export
from tests.support.contract_values import every_rule
digest = sha256()
for to in FORMATS:
    for name, content in export(every_rule(), to).items():
        digest.update(name.encode() + content)
print(digest.hexdigest())
"""


@settings(max_examples=30)
@given(contracts())
def test_equal_contracts_give_equal_bytes(contract: Contract) -> None:
    """A contract and the same contract read back from its file export alike, in every format."""
    again = Contract.from_json(contract.to_bytes())

    for to in FORMATS:
        assert export(contract, to) == export(again, to)


def test_another_process_gives_the_same_bytes() -> None:
    """Nothing of the process (hash seed, time, place) gets into an export."""
    digest = sha256()
    for to in FORMATS:
        for name, content in export(every_rule(), to).items():
            digest.update(name.encode() + content)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}

    out = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)

    assert out.stdout.strip() == digest.hexdigest()


@pytest.mark.parametrize("to", FORMATS)
def test_files_have_names_of_their_own(to: str) -> None:
    """File names are plain, and text ends with one newline."""
    files = export(every_rule(), to)

    assert files
    for name, content in files.items():
        assert "/" not in name
        assert content
        assert to == "arrow" or (content.endswith(b"\n") and not content.endswith(b"\n\n") and content.decode())


def test_an_unknown_format_is_refused() -> None:
    """The error names the closest format there is."""
    with pytest.raises(ValueError, match="json-schema"):
        export(every_rule(), "jsonschema")
