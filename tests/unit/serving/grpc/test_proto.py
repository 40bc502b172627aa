"""The wire: what is committed is what the compiler makes, and the numbers are the protocol's."""

from __future__ import annotations

from pathlib import Path

import pytest

from fivefold.serving.grpc import generate
from fivefold.serving.grpc.proto import inference_pb2 as wire
from fivefold.serving.grpc.proto import model_config_pb2 as config

NUMBERS = {
    "ModelInferRequest": {
        "model_name": 1, "model_version": 2, "id": 3, "parameters": 4, "inputs": 5, "outputs": 6,
        "raw_input_contents": 7,
    },
    "ModelInferResponse": {
        "model_name": 1, "model_version": 2, "id": 3, "parameters": 4, "outputs": 5, "raw_output_contents": 6,
    },
    "ModelStreamInferResponse": {"error_message": 1, "infer_response": 2},
    "InferTensorContents": {
        "bool_contents": 1, "int_contents": 2, "int64_contents": 3, "uint_contents": 4, "uint64_contents": 5,
        "fp32_contents": 6, "fp64_contents": 7, "bytes_contents": 8,
    },
    "InferParameter": {"bool_param": 1, "int64_param": 2, "string_param": 3, "double_param": 4, "uint64_param": 5},
    "ModelMetadataResponse": {"name": 1, "versions": 2, "platform": 3, "inputs": 4, "outputs": 5},
    "ServerMetadataResponse": {"name": 1, "version": 2, "extensions": 3},
    "ModelReadyRequest": {"name": 1, "version": 2},
    "ModelStatistics": {
        "name": 1, "version": 2, "last_inference": 3, "inference_count": 4, "execution_count": 5, "inference_stats": 6,
        "batch_stats": 7, "memory_usage": 8, "response_stats": 9,
    },
    "InferStatistics": {
        "success": 1, "fail": 2, "queue": 3, "compute_input": 4, "compute_infer": 5, "compute_output": 6,
        "cache_hit": 7, "cache_miss": 8,
    },
    "RepositoryIndexRequest": {"repository_name": 1, "ready": 2},
    "RepositoryModelLoadRequest": {"repository_name": 1, "model_name": 2, "parameters": 3},
    "ModelRepositoryParameter": {"bool_param": 1, "int64_param": 2, "string_param": 3, "bytes_param": 4},
}  # fmt: skip
"""Message -> field -> number, read from the protocol's public files."""


def test_the_committed_modules_are_what_the_compiler_makes(tmp_path: Path) -> None:
    """Generated code is never edited and never forgotten."""
    generate.generate(tmp_path)
    root = Path(generate.__file__).parents[3]
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())

    assert len(made) == 2 * len(generate.SOURCES) + 1
    for path in made:
        assert (root / path).read_bytes() == (tmp_path / path).read_bytes(), path


@pytest.mark.parametrize("message", NUMBERS)
def test_field_numbers_are_the_protocols(message: str) -> None:
    """A client that was generated from the protocol's own files reads and writes the same bytes."""
    descriptor = wire.DESCRIPTOR.message_types_by_name[message]

    assert {field.name: field.number for field in descriptor.fields} == NUMBERS[message]


def test_tensors_inside_requests_and_answers_have_the_protocols_numbers() -> None:
    """The nested messages too."""
    whole = {"name": 1, "datatype": 2, "shape": 3, "parameters": 4, "contents": 5}

    for kind in (wire.ModelInferRequest.InferInputTensor, wire.ModelInferResponse.InferOutputTensor):
        assert {field.name: field.number for field in kind.DESCRIPTOR.fields} == whole
    asked = wire.ModelInferRequest.InferRequestedOutputTensor.DESCRIPTOR
    assert {field.name: field.number for field in asked.fields} == {"name": 1, "parameters": 2}


def test_the_configurations_numbers_are_tritons() -> None:
    """Triton's clients read the part that is there."""
    numbers = {field.name: field.number for field in config.ModelConfig.DESCRIPTOR.fields}

    assert numbers == {
        "name": 1, "platform": 2, "max_batch_size": 4, "input": 5, "output": 6, "parameters": 14, "backend": 17,
    }  # fmt: skip
    assert config.DataType.Value("TYPE_STRING") == 13
    assert config.DataType.Value("TYPE_FP64") == 12
