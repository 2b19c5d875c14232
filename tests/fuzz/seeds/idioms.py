"""Writes seeds that the project's own exporter does not write: idioms of other exporters, compressed archives.

Run in this folder: python idioms.py (needs numpy and onnx)."""

import io

import numpy as np
import onnx
from onnx import TensorProto as T, helper as h, numpy_helper as nh

rng = np.random.default_rng(1)


def const(name, value, dtype=np.float32):
    return nh.from_array(np.asarray(value, dtype), name)


def weights(name, *shape):
    return const(name, rng.standard_normal(shape).round(1))


def model(name, nodes, constants, shape_in, shape_out, opset=17):
    info = [h.make_tensor_value_info(n, T.FLOAT, ["N", *s]) for n, s in (("x", shape_in), ("y", shape_out))]
    graph = h.make_graph(nodes, "g", info[:1], info[1:], constants)
    file = h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(file)
    onnx.save(file, f"onnx/{name}")


n = h.make_node
# TorchScript: a flatten by shape arithmetic, Gemm.
model("reshape", [
    n("Conv", ["x", "w", "b"], ["c"], kernel_shape=[3], pads=[1, 1], strides=[2]),
    n("BatchNormalization", ["c", "s", "o", "m", "v"], ["bn"]),
    n("Clip", ["bn", "zero", "six"], ["r"]),
    n("Shape", ["r"], ["sh"]),
    n("Gather", ["sh", "i0"], ["g"], axis=0),
    n("Unsqueeze", ["g", "axes0"], ["u"]),
    n("Concat", ["u", "minus"], ["target"], axis=0),
    n("Reshape", ["r", "target"], ["f"]),
    n("Gemm", ["f", "fw", "fb"], ["y"], transB=1),
], [weights("w", 4, 2, 3), weights("b", 4), weights("s", 4), weights("o", 4), weights("m", 4), const("v", [1, 2, 1, .5]),
    const("zero", 0), const("six", 6), const("i0", 0, np.int64), const("axes0", [0], np.int64), const("minus", [-1], np.int64),
    weights("fw", 3, 16), weights("fb", 3)], [2, 8], [3])
# dynamo: MatMul and Add, means by ReduceMean, Identity, Cast.
model("matmul", [
    n("Identity", ["x"], ["i"]),
    n("Conv", ["i", "w"], ["c"], auto_pad="SAME_UPPER", strides=[2, 2]),
    n("Relu", ["c"], ["r"]),
    n("Conv", ["r", "dw"], ["d"], group=4, pads=[1, 1, 1, 1]),
    n("Conv", ["d", "pw"], ["p"]),
    n("Add", ["p", "r"], ["a"]),
    n("ReduceMean", ["a", "axes"], ["rm"], keepdims=0),
    n("MatMul", ["rm", "fw"], ["mm"]),
    n("Add", ["mm", "fb"], ["z"]),
    n("Softmax", ["z"], ["y"], axis=-1),
], [weights("w", 4, 1, 3, 3), weights("dw", 4, 1, 3, 3), weights("pw", 4, 4, 1, 1), const("axes", [2, 3], np.int64),
    weights("fw", 4, 3), weights("fb", 3)], [1, 8, 8], [3], opset=20)
# Pools, asymmetric padding, Squeeze, constants as nodes and in half precision.
model("pools", [
    n("Constant", [], ["w16"], value=nh.from_array(rng.standard_normal((4, 2, 3)).round(1).astype(np.float16))),
    n("Cast", ["w16"], ["w"], to=T.FLOAT),
    n("Conv", ["x", "w"], ["c"], dilations=[2], pads=[2, 2]),
    n("Mul", ["c", "two"], ["m"]),
    n("MaxPool", ["m"], ["mp"], kernel_shape=[2], strides=[2]),
    n("AveragePool", ["mp"], ["ap"], kernel_shape=[3], pads=[1, 1], strides=[1], count_include_pad=0),
    n("GlobalAveragePool", ["ap"], ["gp"]),
    n("Squeeze", ["gp", "axes"], ["s"]),
    n("Dropout", ["s"], ["do"]),
    n("Gemm", ["do", "fw"], ["y"], alpha=0.5),
], [const("axes", [2], np.int64), const("two", 2), weights("fw", 4, 3)], [2, 16], [3])

rows = 6
arrays = dict(
    x=rng.standard_normal((rows, 2, 4)).astype(np.float16), y=np.arange(rows, dtype=np.uint8) % 2,
    split=np.arange(rows) % 3, site=np.array([b"a", b"b"] * 3), band=np.array([True, False] * 3),
    subject=np.asfortranarray(np.arange(rows, dtype=">i2")))
whole = io.BytesIO()
np.savez_compressed(whole, **arrays)
open("npz/compressed", "wb").write(b"\0" + whole.getvalue())
parts = b"\1"
for array in arrays.values():
    one = io.BytesIO()
    np.save(one, array)
    parts += len(one.getvalue()).to_bytes(2, "little") + one.getvalue()
open("npz/members-numpy", "wb").write(parts)
