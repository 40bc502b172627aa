"""torch modules, packed and compared with themselves. torch is large, so these run in `make test-full` only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fivefold
from fivefold.core.errors import BundleInvalid
from fivefold.packing import golden

# torch's own modules warn of each other; that is not ours to fix.
pytestmark = [pytest.mark.full, pytest.mark.filterwarnings("ignore")]


def _contract(inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> fivefold.Contract:
    return fivefold.Contract.from_json(
        {"format": 1, "name": "net", "version": "1.0.0", "inputs": inputs, "outputs": outputs}
    )


def _mlp() -> Any:
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3), torch.nn.Softmax(dim=1))


SCALARS = [{"name": name, "dtype": "float64", "minimum": -3, "maximum": 3} for name in "abcd"]
PROBABILITY = [{"name": "probability", "dtype": "float32", "shape": [3]}]


def _answers(path: Path, contract: fivefold.Contract) -> tuple[Any, Any]:
    rows = golden.made(contract.inputs, 100, "torch").columns
    with fivefold.open(path) as scorer:
        return rows, scorer.score(rows)


def test_a_net_of_scalar_fields_answers_like_the_module(tmp_path: Path) -> None:
    """Scalar fields are stacked into the module's one input; any number of rows goes through."""
    import torch

    contract, net = _contract(SCALARS, PROBABILITY), _mlp()

    report = fivefold.pack(net, contract, tmp_path / "net")

    rows, answers = _answers(tmp_path / "net", contract)
    with torch.no_grad():
        wanted = net(torch.from_numpy(rows.block(tuple("abcd"), np.float32))).numpy()
    assert report.difference <= 1e-5
    assert np.abs(answers["probability"] - wanted).max() <= 1e-5


def test_a_convolution_takes_an_image_field(tmp_path: Path) -> None:
    """One shaped field is the module's input as it is, and two outputs answer two fields by order."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = torch.nn.Sequential(
                torch.nn.Conv2d(1, 4, 3),
                torch.nn.ReLU(),
                torch.nn.MaxPool2d(2),
                torch.nn.Flatten(),
                torch.nn.Linear(36, 5),
            )

        def forward(self, image: Any) -> Any:
            scores = self.body(image)
            return scores.argmax(dim=1), scores

    torch.manual_seed(1)
    contract = _contract(
        [{"name": "image", "dtype": "float32", "shape": [1, 8, 8], "minimum": 0, "maximum": 1}],
        [
            {"name": "label", "dtype": "int64", "minimum": 0, "maximum": 4},
            {"name": "scores", "dtype": "float32", "shape": [5]},
        ],
    )
    net = Net().eval()

    report = fivefold.pack(net, contract, tmp_path / "net")

    rows, answers = _answers(tmp_path / "net", contract)
    with torch.no_grad():
        label, scores = net(torch.from_numpy(rows["image"]))
    assert report.difference <= 1e-5
    assert np.array_equal(answers["label"], label.numpy())
    assert np.abs(answers["scores"] - scores.numpy()).max() <= 1e-5


def test_two_inputs_bind_by_the_names_of_forward(tmp_path: Path) -> None:
    """An integer field feeds an embedding as int64, whatever the order of the contract."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(10, 4)
            self.head = torch.nn.Linear(6, 1)

        def forward(self, item: Any, context: Any) -> Any:
            return self.head(torch.cat([self.table(item[:, 0]), context], dim=1))

    torch.manual_seed(2)
    contract = _contract(
        [
            {"name": "context", "dtype": "float32", "shape": [2], "minimum": -1, "maximum": 1},
            {"name": "item", "dtype": "int32", "minimum": 0, "maximum": 9},
        ],
        [{"name": "score", "dtype": "float32"}],
    )

    report = fivefold.pack(Net(), contract, tmp_path / "net")

    assert report.difference <= 1e-5
    assert len(report.inputs) == 2


@pytest.mark.parametrize("suffix", [".pt", ".pt2"])
def test_saved_modules_and_programs_pack_from_their_files(tmp_path: Path, suffix: str) -> None:
    """A pickled module and an exported program with a dynamic batch give the same bundle contents."""
    import torch

    net, place = _mlp().eval(), tmp_path / f"net{suffix}"
    if suffix == ".pt":
        torch.save(net, place)
    else:
        rows = torch.export.Dim("rows")
        torch.export.save(torch.export.export(net, (torch.zeros(3, 4),), dynamic_shapes=({0: rows},)), place)

    report = fivefold.pack(place, _contract(SCALARS, PROBABILITY), tmp_path / "net")

    assert report.kind == "torch"
    assert report.difference <= 1e-5


def test_the_same_module_gives_the_same_bytes(tmp_path: Path) -> None:
    """Nothing of the author's machine, such as paths of source files, stands in the model."""
    contract, net = _contract(SCALARS, PROBABILITY), _mlp()

    first = fivefold.pack(net, contract, tmp_path / "one")
    second = fivefold.pack(net, contract, tmp_path / "two")

    assert first.digest == second.digest
    assert str(Path(__file__).parent).encode() not in fivefold.Bundle.open(tmp_path / "one").read("model.onnx")


def test_weights_alone_are_not_a_model(tmp_path: Path) -> None:
    """A state dict says what the numbers are, not what to compute."""
    import torch

    torch.save(_mlp().state_dict(), tmp_path / "weights.pt")

    with pytest.raises(BundleInvalid, match="expected a torch module") as caught:
        fivefold.pack(tmp_path / "weights.pt", _contract(SCALARS, PROBABILITY), tmp_path / "net")

    assert "weights alone" in (caught.value.help or "")
