"""The quantised net in WebAssembly, where Node and onnxruntime-web's files are; elsewhere none of this is collected."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.nets import net, some_rows
from tests.support.programs import LEFT_OUT

from fivefold.core.errors import RunFailed
from fivefold.packing import quantised_runs
from fivefold.packing.quantisation import QuantisationRecipe, quantised_model

HERE = quantised_runs.no_wasm()
if HERE is not None:
    LEFT_OUT.append(f"quantised models in WebAssembly: {HERE}")


if HERE is None:

    def test_it_answers_as_it_does_natively() -> None:
        rows = some_rows(100)
        model = quantised_model(net(), QuantisationRecipe())
        names = ["label", "probability"]

        ours = quantised_runs.native(model, {"X": rows}, names)
        theirs = quantised_runs.wasm(model, {"X": rows}, names)

        assert np.array_equal(ours[0], theirs[0])
        assert theirs[0].dtype == np.int64
        assert np.abs(ours[1] - theirs[1]).max() < 1e-4

    def test_a_model_that_it_cannot_run_is_told() -> None:
        with pytest.raises(RunFailed, match="WASM cannot run the model"):
            quantised_runs.wasm(b"no model", {"X": some_rows(1)}, ["label"])
