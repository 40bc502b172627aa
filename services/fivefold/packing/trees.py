"""Trees of scikit-learn as ONNX tree ensembles, with the branch that a missing value takes.

skl2onnx writes one tree after another into attributes; while `exact` holds, it does so by the functions here, which
know `missing_go_to_left`, the infinite threshold of a split on "is missing", and thresholds that decide as the
estimator's own comparison does. scikit-learn's trees and XGBoost's compare float32 numbers, whatever they are given:
`compared_as_float32` makes a graph of float64 do the same.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fivefold.core.columns import Array
from fivefold.packing.libraries import require

_MODULES = (
    "random_forest",
    "decision_tree",
    "gradient_boosting",
    "bagging",
    "random_trees_embedding",
    "isolation_forest",
)
_lock = threading.RLock()


@contextlib.contextmanager
def exact() -> Iterator[None]:
    """While it holds, skl2onnx writes trees by this module's functions."""
    own = {
        "add_tree_to_attribute_pairs": _add_tree,
        "add_tree_to_attribute_pairs_hist_gradient_boosting": add_histogram,
    }
    with _lock:
        places = [require("skl2onnx.common.tree_ensemble")]
        places += [require(f"skl2onnx.operator_converters.{name}") for name in _MODULES]
        before = [(place, name, getattr(place, name)) for place in places for name in own if hasattr(place, name)]
        for place, name, _ in before:
            setattr(place, name, own[name])
        try:
            yield
        finally:
            for place, name, original in before:
                setattr(place, name, original)


def compared_as_float32(model: Any) -> None:
    """Let every tree ensemble of the graph with float32 thresholds see its input as float32."""
    helper = require("onnx.helper")
    nodes = []
    for index, node in enumerate(model.graph.node):
        own = {attribute.name for attribute in node.attribute}
        if node.op_type.startswith("TreeEnsemble") and "nodes_values_as_tensor" not in own:
            name = f"{node.input[0]}_as_float32_{index}"
            nodes.append(helper.make_node("Cast", [node.input[0]], [name], name=name, to=1))
            node.input[0] = name
        nodes.append(node)
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _add_tree(
    pairs: dict[str, Any],
    is_classifier: bool,
    tree: Any,
    tree_id: int,
    tree_weight: float,
    weight_id_bias: int,
    leaf_weights_are_counts: bool,
    adjust_threshold_for_sklearn: bool = False,
    dtype: Any = None,
) -> None:
    """A tree of `sklearn.tree`, which compares its input as float32 with a float64 threshold."""
    left, right = np.asarray(tree.children_left), np.asarray(tree.children_right)
    leaf = left < 0
    thresholds = np.where(leaf, 0.0, tree.threshold)
    if adjust_threshold_for_sklearn:
        thresholds = below32(thresholds)
    go_left = getattr(tree, "missing_go_to_left", None)
    missing = np.zeros(len(left), np.int64) if go_left is None else np.where(leaf, 0, go_left)
    values = np.asarray(tree.value, np.float64).reshape(len(left), -1)[leaf]
    if leaf_weights_are_counts:
        total = values.sum(axis=1, keepdims=True)
        values = values / np.where(total == 0, 1, total)
    _write(
        pairs,
        is_classifier,
        tree_id,
        leaf,
        np.where(leaf, 0, tree.feature),
        finite(thresholds, np.dtype(dtype or np.float32)),
        np.where(leaf, 0, left),
        np.where(leaf, 0, right),
        missing,
        values * tree_weight,
        weight_id_bias,
    )


def add_histogram(
    pairs: dict[str, Any],
    is_classifier: bool,
    tree: Any,
    tree_id: int,
    tree_weight: float,
    weight_id_bias: int,
    *_of_other_trees: bool,
    dtype: Any = None,
) -> None:
    """A tree of histogram gradient boosting, which compares float64 with float64."""
    nodes = tree.nodes
    leaf = nodes["is_leaf"].astype(bool)
    thresholds = np.where(leaf, 0.0, nodes["num_threshold"])
    kind = np.dtype(dtype or np.float32)
    _write(
        pairs,
        is_classifier,
        tree_id,
        leaf,
        np.where(leaf, 0, nodes["feature_idx"]),
        finite(thresholds if kind == np.float64 else below32(thresholds), kind),
        np.where(leaf, 0, nodes["left"]),
        np.where(leaf, 0, nodes["right"]),
        np.where(leaf, 0, nodes["missing_go_to_left"]),
        (nodes["value"][leaf] * tree_weight).reshape(-1, 1),
        weight_id_bias,
    )
    for index in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~leaf).tolist():
        _split_by_set(pairs, tree_id, index, nodes[index], tree.raw_left_cat_bitsets)


def _split_by_set(pairs: dict[str, Any], tree_id: int, index: int, node: Any, bitsets: Any) -> None:
    """Turn the last tree's split by a set of categories into a chain of comparisons with one category each."""
    words = bitsets[node["bitset_idx"]].tolist()
    codes = [32 * place + bit for place, word in enumerate(words) for bit in range(32) if word >> bit & 1]
    left, right = int(node["left"]), int(node["right"])
    begin = len(pairs["nodes_treeids"]) - _size(pairs, tree_id)
    place = begin + index
    for code in codes[:-1]:
        fresh = _size(pairs, tree_id)
        _compare(pairs, place, code, left, fresh, int(node["missing_go_to_left"]))
        place = begin + fresh
        for name, value in (
            ("treeids", tree_id),
            ("nodeids", fresh),
            ("featureids", int(node["feature_idx"])),
            ("modes", "BRANCH_EQ"),
            ("values", 0.0),
            ("truenodeids", left),
            ("falsenodeids", right),
            ("missing_value_tracks_true", 0),
            ("hitrates", 1.0),
        ):
            pairs[f"nodes_{name}"].append(value)
    _compare(pairs, place, codes[-1], left, right, int(node["missing_go_to_left"]))


def _compare(pairs: dict[str, Any], place: int, code: int, true: int, false: int, missing: int) -> None:
    pairs["nodes_modes"][place] = "BRANCH_EQ"
    pairs["nodes_values"][place] = float(code)
    pairs["nodes_truenodeids"][place] = true
    pairs["nodes_falsenodeids"][place] = false
    pairs["nodes_missing_value_tracks_true"][place] = missing


def _size(pairs: dict[str, Any], tree_id: int) -> int:
    """Nodes of the tree so far; it is the last one that was written."""
    count = 0
    for value in reversed(pairs["nodes_treeids"]):
        if value != tree_id:
            break
        count += 1
    return count


def _write(
    pairs: dict[str, Any],
    is_classifier: bool,
    tree_id: int,
    leaf: npt.NDArray[np.bool_],
    features: Array,
    thresholds: Array,
    left: Array,
    right: Array,
    missing: Array,
    weights: Array,
    first: int,
) -> None:
    count = len(leaf)
    pairs["nodes_treeids"] += [tree_id] * count
    pairs["nodes_nodeids"] += range(count)
    pairs["nodes_featureids"] += features.astype(np.int64).tolist()
    pairs["nodes_modes"] += ["LEAF" if one else "BRANCH_LEQ" for one in leaf.tolist()]
    pairs["nodes_values"] += thresholds.astype(np.float64).tolist()
    pairs["nodes_truenodeids"] += left.astype(np.int64).tolist()
    pairs["nodes_falsenodeids"] += right.astype(np.int64).tolist()
    pairs["nodes_missing_value_tracks_true"] += missing.astype(np.int64).tolist()
    pairs["nodes_hitrates"] += [1.0] * count
    if is_classifier and weights.shape[1] == 2:
        # Of two classes only the second is voted for: how the operator knows a binary classifier.
        weights = weights[:, 1:]
    kind = "class" if is_classifier else "target"
    leaves, width = np.flatnonzero(leaf), weights.shape[1]
    pairs[f"{kind}_treeids"] += [tree_id] * (len(leaves) * width)
    pairs[f"{kind}_nodeids"] += np.repeat(leaves, width).tolist()
    pairs[f"{kind}_ids"] += np.tile(np.arange(width) + first, len(leaves)).tolist()
    pairs[f"{kind}_weights"] += weights.ravel().tolist()


def below32(values: Array) -> npt.NDArray[np.float64]:
    """The largest float32 at most each value: a float32 number is below the one where it is below the other."""
    with np.errstate(over="ignore"):
        near = values.astype(np.float32)
    lower = np.nextafter(near, np.float32(-np.inf))
    return np.where(near.astype(np.float64) > values, lower, near).astype(np.float64)


def finite(values: Array, dtype: np.dtype[Any]) -> Array:
    """Infinite thresholds as the type's own ends: every number is on the same side of both."""
    info: Any = np.finfo(dtype if dtype.kind == "f" else np.float32)
    return np.clip(values, float(info.min), float(info.max))


def as_doubles(pairs: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a tree ensemble, its numbers as tensors of float64: an attribute of floats holds float32."""
    out = {name: value for name, value in pairs.items() if name != "nodes_hitrates"}
    for name in ("nodes_values", "target_weights", "class_weights", "base_values"):
        if name in out:
            array = np.array(out.pop(name), np.float64)
            out[f"{name}_as_tensor"] = require("onnx.numpy_helper").from_array(array, name)
    return out
