"""Weights of an ONNX graph in eight bits. Only weights: what is multiplied with them stays fp32.

So a report's score can't depend on what else is in its batch, as it would if activations were scaled by the
batch's largest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_ELEMENTS = 256
"""Smaller matrices stay as they are: their scales would weigh as much as is saved."""

BLOCK = 32
"""Neighbouring weights that share a scale."""

_ONE_FILE = 1_800_000_000


def quantize_matrix(values: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric eight-bit codes of a matrix, and a scale for every block of ``BLOCK`` weights along ``axis``.

    A matrix whose size along ``axis`` is no multiple of ``BLOCK`` has one block there. Each block gets
    the scale with the least squared error of sixteen, which put its largest weight at code 127, 126 ... 112:
    weights that once were in four bits, as those of the embedded base, then come back as they were.

    Returns:
        Codes with ``axis`` split in two (blocks, weights of a block), and scales that multiply them.
    """
    size = values.shape[axis]
    block = BLOCK if size % BLOCK == 0 else size
    split = (*values.shape[:axis], size // block, block, *values.shape[axis + 1 :])
    blocks = values.reshape(split)
    peak = np.abs(blocks).max(axis=axis + 1, keepdims=True)
    peak[peak == 0] = 1
    codes = np.zeros(split, dtype=np.int8)
    scale = peak.copy()
    least = np.full(peak.shape, np.inf, dtype=np.float32)
    for top in range(127, 111, -1):
        tried = peak / np.float32(top)
        rounded = np.rint(blocks / tried)
        error = np.square(rounded * tried - blocks).sum(axis=axis + 1, keepdims=True)
        better = error < least
        codes = np.where(better, rounded.astype(np.int8), codes)
        scale, least = np.where(better, tried, scale), np.where(better, error, least)
    return codes, scale


def quantize_weights(path: Path) -> None:
    """Quantise a graph file in place: the matrices of linear layers along their inputs, embeddings a row.

    The graph multiplies codes and scales with ordinary operators, so that it runs wherever the original does;
    onnxruntime does so for the linear layers once, when it loads the file.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(path))
    graph = model.graph
    users: dict[str, list[tuple[Any, int]]] = {}
    for node in graph.node:
        for position, name in enumerate(node.input):
            users.setdefault(name, []).append((node, position))
    added: list[Any] = []
    for tensor in list(graph.initializer):
        name = tensor.name
        kinds = {_kind(node, position) for node, position in users.get(name, [])}
        is_matrix = tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2
        if not is_matrix or np.prod(tensor.dims) < MIN_ELEMENTS or len(kinds) != 1 or None in kinds:
            continue
        axis, gathered = kinds.pop()  # type: ignore[misc]
        values = numpy_helper.to_array(tensor)
        codes, scale = quantize_matrix(values, axis)
        graph.initializer.remove(tensor)
        parts = {"codes": codes, "scale": scale}
        if not gathered:
            parts["shape"] = np.array([-1, values.shape[1]], dtype=np.int64)
        for part, array in parts.items():
            graph.initializer.append(numpy_helper.from_array(array, f"{name}.{part}"))
        if gathered:
            for node, _ in users[name]:
                added += _gathered(node, name, values.shape[1])
        else:
            added += _joined(f"{name}.codes", f"{name}.scale", f"{name}.shape", name)
    given = {item.name for item in (*graph.initializer, *graph.input)}
    nodes = _sorted([*added, *graph.node], given)
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]  # says fp32 of what is no longer there
    big = model.ByteSize() > _ONE_FILE
    for old in path.parent.glob(f"{path.name}*"):
        old.unlink()
    onnx.save(model, str(path), save_as_external_data=big, location=f"{path.name}.data" if big else None)


def _kind(node: Any, position: int) -> tuple[int, bool] | None:
    """(Axis along which blocks lie, whether rows are looked up), or None for a use that stays fp32."""
    if node.op_type == "MatMul" and position == 1:
        return 0, False
    if node.op_type == "Gemm" and position == 1:
        transposed = any(item.name == "transB" and item.i for item in node.attribute)
        return (1 if transposed else 0), False
    if node.op_type == "Gather" and position == 0:
        axis = next((item.i for item in node.attribute if item.name == "axis"), 0)
        return (1, True) if axis == 0 else None
    return None


def _joined(codes: str, scale: str, shape: str, result: str) -> list[Any]:
    """Nodes that make numbers of codes."""
    from onnx import TensorProto, helper

    return [
        helper.make_node("Cast", [codes], [f"{result}.float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{result}.float", scale], [f"{result}.product"]),
        helper.make_node("Reshape", [f"{result}.product", shape], [result]),
    ]


def _gathered(node: Any, name: str, width: int) -> list[Any]:
    """Turn a look-up of rows into one of codes and one of scales; returns the nodes that join them."""
    from onnx import helper

    result, index = node.output[0], node.input[1]
    node.input[0] = f"{name}.codes"
    node.output[0] = f"{result}.codes"
    # The shape of what was looked up: that of the indices, and the width.
    return [
        helper.make_node("Gather", [f"{name}.scale", index], [f"{result}.scale"], axis=0),
        helper.make_node("Shape", [index], [f"{result}.index"]),
        helper.make_node("Constant", [], [f"{result}.width"], value_ints=[width]),
        helper.make_node("Concat", [f"{result}.index", f"{result}.width"], [f"{result}.shape"], axis=0),
        *_joined(f"{result}.codes", f"{result}.scale", f"{result}.shape", result),
    ]


def _sorted(nodes: list[Any], known: set[str]) -> list[Any]:
    """``nodes`` so that each stands behind what it reads (the order is kept where it may be)."""
    placed: list[Any] = []
    known = {*known, ""}
    rest = nodes
    while rest:
        later = []
        for node in rest:
            if all(name in known for name in node.input):
                placed.append(node)
                known.update(node.output)
            else:
                later.append(node)
        if len(later) == len(rest):
            raise ValueError("the graph has a loop")
        rest = later
    return placed
