"""ONNX to .tflite, for the operators of the networks that are compared.

The .tflite has NHWC tensors; a 1-D network [N, C, L] becomes [N, 1, L, C]. In a QDQ graph each activation takes the
scale and zero point of the QuantizeLinear behind it, weights and biases are stored as the integers they are, and the
QuantizeLinear/DequantizeLinear nodes vanish: input and output of the file are int8. On the MLPerf Tiny networks, whose
QDQ graphs carry the scales of the published .tflite files, that gives the published network back.
"""

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as s
from onnx import numpy_helper

KINDS = {"float32": s.TensorType.FLOAT32, "int8": s.TensorType.INT8, "int32": s.TensorType.INT32}
# Versions of operators that have int8 with one scale for each channel; every other operator here has int8 since 2.
VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "RESHAPE": 1}
RESHAPES = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")
MEAN_AXES = np.array([1, 2], np.int32)


class Refused(Exception):
    """The network has something that this writer does not know."""


class Writer:
    """Builds one .tflite from one ONNX model with fixed shapes."""

    def __init__(self, model):
        g = self.graph = model.graph
        self.const = {t.name: numpy_helper.to_array(t) for t in g.initializer}
        for n in g.node:
            if n.op_type == "Constant":
                self.const[n.output[0]] = np.array(onnx.helper.get_attribute_value(n.attribute[0]))
        self.users, self.maker = {}, {n.output[0]: n for n in g.node}
        for n in g.node:
            for name in n.input:
                self.users.setdefault(name, []).append(n)
        self.buffers, self.tensors, self.ops, self.codes = [s.BufferT()], [], [], []
        self.values = {}  # ONNX name -> (tensor index, ONNX shape)
        self.weights = {}  # one tensor for each constant, however many nodes read it

    def bytes(self):
        for i in self.graph.input:
            if i.name not in self.const:
                self.value(i.name, [d.dim_value for d in i.type.tensor_type.shape.dim])
        inputs = sorted({index for index, _ in self.values.values()})
        for n in self.graph.node:
            if n.output[0] not in self.values and n.output[0] not in self.const and not self.is_const(n):
                getattr(self, "op_" + n.op_type.lower(), self.refuse)(n, *self.attributes(n))
        sub, model = s.SubGraphT(), s.ModelT()
        sub.tensors, sub.operators = self.tensors, self.ops
        sub.inputs, sub.outputs = inputs, [self.values[o.name][0] for o in self.graph.output]
        model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, [sub], self.buffers, self.codes
        b = flatbuffers.Builder(1 << 16)
        b.Finish(model.Pack(b), file_identifier=b"TFL3")
        return bytes(b.Output())

    # --- tensors ---

    def is_const(self, n):
        return n.op_type == "DequantizeLinear" and n.input[0] in self.const

    def nhwc(self, shape):
        return {2: list(shape), 3: [shape[0], 1, *shape[2:], shape[1]], 4: [shape[0], *shape[2:], shape[1]]}[len(shape)]

    def tensor(self, name, shape, kind, quant=None, data=None, axis=0):
        t = s.TensorT()
        t.name, t.shape, t.type, t.buffer = name, list(shape), KINDS[kind], 0
        if quant is not None:
            q = t.quantization = s.QuantizationParametersT()
            scale, zero = np.atleast_1d(quant[0]).astype(np.float32), np.atleast_1d(quant[1]).astype(np.int64)
            if (scale == scale[0]).all():
                scale, zero = scale[:1], zero[:1]
            q.scale, q.zeroPoint, q.quantizedDimension = scale, zero, axis if len(scale) > 1 else 0
        if data is not None:
            buffer = s.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            t.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(t)
        return len(self.tensors) - 1

    def value(self, name, shape):
        """A new activation; the quantisation behind it is its own, and the names on the way are this tensor."""
        quant, names = self.quantisation(name)
        index = self.tensor(name, self.nhwc(shape), "int8" if quant else "float32", quant)
        self.alias(names, (index, list(shape)))
        return index

    def quantisation(self, name):
        users = self.users.get(name, [])
        q = next((n for n in users if n.op_type == "QuantizeLinear"), None)
        if q is None and len(users) == 1 and users[0].op_type in RESHAPES:
            return self.quantisation(users[0].output[0])[0], [name]
        if q is None:
            return None, [name]
        quant = (self.const[q.input[1]], self.const[q.input[2]])
        return quant, [name, q.output[0], *(d.output[0] for d in self.users.get(q.output[0], []))]

    def alias(self, names, value):
        self.values.update(dict.fromkeys(names, value))

    def constant(self, name, order=None, axis=0):
        if name in self.weights:
            return self.weights[name]
        maker, quant = self.maker.get(name), None
        data = self.const.get(name)
        if data is None:
            data, quant = self.const[maker.input[0]], (self.const[maker.input[1]], 0)
            quant = (quant[0], np.zeros(np.size(quant[0])))
        data = order(data) if order else data
        self.weights[name] = self.tensor(name, data.shape, data.dtype.name, quant, data, axis)
        return self.weights[name]

    # --- operators ---

    def attributes(self, n):
        return [{a.name: onnx.helper.get_attribute_value(a) for a in n.attribute}]

    def refuse(self, n, _):
        raise Refused(f"operator {n.op_type} ({n.output[0]})")

    def emit(self, code, inputs, outputs, options=None):
        builtin = getattr(s.BuiltinOperator, code)
        known = [c.builtinCode for c in self.codes]
        if builtin not in known:
            c = s.OperatorCodeT()
            c.builtinCode, c.deprecatedBuiltinCode, c.version = builtin, min(builtin, 127), VERSIONS.get(code, 2)
            self.codes.append(c)
            known.append(builtin)
        op = s.OperatorT()
        op.opcodeIndex, op.inputs, op.outputs = known.index(builtin), inputs, outputs
        if options is not None:
            op.builtinOptions = options
            op.builtinOptionsType = getattr(s.BuiltinOptions, type(options).__name__[:-1])
        self.ops.append(op)

    def activation(self, name):
        """The activation that can be fused into the maker of `name`, and the name behind it."""
        users = self.users.get(name, [])
        if len(users) == 1 and users[0].op_type == "Relu":
            return s.ActivationFunctionType.RELU, users[0].output[0]
        if len(users) == 1 and users[0].op_type == "Clip":
            low, high = (float(self.const[i]) for i in users[0].input[1:])
            if (low, high) == (0.0, 6.0):
                return s.ActivationFunctionType.RELU6, users[0].output[0]
        return s.ActivationFunctionType.NONE, name

    def windowed(self, n, a, kernel):
        """Input, output shape in space and options' fields of a convolution or a pooling."""
        index, shape = self.values[n.input[0]]
        space, dims = shape[2:], len(shape) - 2
        if set(a.get("dilations", [1])) != {1}:
            raise Refused(f"dilation ({n.output[0]})")
        stride, pads = a.get("strides", [1] * dims), a.get("pads", [0] * 2 * dims)
        begin, end = pads[:dims], pads[dims:]
        total = [max((-(-x // t) - 1) * t + k - x, 0) for x, t, k in zip(space, stride, kernel)]
        out = [(x + p + q - k) // t + 1 for x, p, q, k, t in zip(space, begin, end, kernel, stride)]
        padding = s.Padding.VALID
        if any(pads) and begin == [t // 2 for t in total] and end == [t - t // 2 for t in total]:
            padding = s.Padding.SAME
        elif any(pads):
            index = self.pad(index, [[0, 0]] * (3 - dims) + [[p, q] for p, q in zip(begin, end)] + [[0, 0]])
        return index, shape, out, padding, ([1, *stride] if dims == 1 else stride)

    def pad(self, index, pads):
        source = self.tensors[index]
        shape = [x + sum(p) for x, p in zip(source.shape, pads)]
        padded = self.tensor(f"{len(self.ops)}_padded", shape, "float32")
        self.tensors[padded].type, self.tensors[padded].quantization = source.type, source.quantization
        paddings = np.array(pads, np.int32)
        self.emit("PAD", [index, self.tensor(f"{len(self.ops)}_pads", paddings.shape, "int32", None, paddings)], [padded], s.PadOptionsT())
        return padded

    def op_conv(self, n, a):
        w = self.const.get(n.input[1])
        w = self.const[self.maker[n.input[1]].input[0]] if w is None else w
        index, shape, out, padding, stride = self.windowed(n, a, list(w.shape[2:]))
        depthwise = a.get("group", 1) == shape[1] and w.shape[1] == 1 and shape[1] > 1
        if a.get("group", 1) != 1 and not depthwise:
            raise Refused(f"grouped convolution ({n.output[0]})")
        flat = lambda w: w[:, :, None, :] if w.ndim == 3 else w
        order = (lambda w: flat(w).transpose(1, 2, 3, 0)) if depthwise else (lambda w: flat(w).transpose(0, 2, 3, 1))
        o = s.DepthwiseConv2DOptionsT() if depthwise else s.Conv2DOptionsT()
        o.padding, o.strideH, o.strideW = padding, stride[0], stride[1]
        o.dilationHFactor = o.dilationWFactor = 1
        if depthwise:
            o.depthMultiplier = w.shape[0] // shape[1]
        o.fusedActivationFunction, name = self.activation(n.output[0])
        inputs = [index, self.constant(n.input[1], order, 3 if depthwise else 0)]
        inputs += [self.constant(b) for b in n.input[2:]]
        self.finish(n, name, "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", inputs, [1, w.shape[0], *out], o)

    def finish(self, n, name, code, inputs, shape, options):
        self.emit(code, inputs, [self.value(name, shape)], options)
        self.values[n.output[0]] = self.values[name]

    def op_gemm(self, n, a):
        if a.get("transB", 0) != 1:
            raise Refused(f"Gemm without transB ({n.output[0]})")
        o = s.FullyConnectedOptionsT()
        o.fusedActivationFunction, name = self.activation(n.output[0])
        inputs = [self.values[n.input[0]][0], *(self.constant(c) for c in n.input[1:])]
        self.finish(n, name, "FULLY_CONNECTED", inputs, [1, self.tensors[inputs[1]].shape[0]], o)

    def op_add(self, n, _):
        o = s.AddOptionsT()
        o.fusedActivationFunction, name = self.activation(n.output[0])
        (a, shape), (b, _) = (self.values[i] for i in n.input)
        self.finish(n, name, "ADD", [a, b], shape, o)

    def pool(self, n, a, code):
        kernel = list(a["kernel_shape"])
        index, shape, out, padding, stride = self.windowed(n, a, kernel)
        o = s.Pool2DOptionsT()
        o.padding, (o.strideH, o.strideW) = padding, stride
        o.filterHeight, o.filterWidth = [1, *kernel] if len(kernel) == 1 else kernel
        self.finish(n, n.output[0], code, [index], [*shape[:2], *out], o)

    def op_averagepool(self, n, a):
        self.pool(n, a, "AVERAGE_POOL_2D")

    def op_maxpool(self, n, a):
        self.pool(n, a, "MAX_POOL_2D")

    def mean(self, n, keep):
        index, shape = self.values[n.input[0]]
        o = s.ReducerOptionsT()
        o.keepDims = keep
        axes = self.tensor(n.output[0] + "_axes", MEAN_AXES.shape, "int32", None, MEAN_AXES)
        self.finish(n, n.output[0], "MEAN", [index, axes], shape[:2] + [1] * (len(shape) - 2) * keep, o)

    def op_globalaveragepool(self, n, _):
        self.mean(n, True)

    def op_reducemean(self, n, a):
        rank = len(self.values[n.input[0]][1])
        axes = a["axes"] if "axes" in a else self.const[n.input[1]].tolist()
        if sorted(x % rank for x in axes) != list(range(2, rank)):
            raise Refused(f"mean over axes {axes} ({n.output[0]})")
        self.mean(n, bool(a.get("keepdims", 1)))

    def reshape(self, n, shape):
        index, old = self.values[n.input[0]]
        quant, names = self.quantisation(n.output[0])
        if len(shape) > 2 and self.nhwc(shape) == self.nhwc(old):
            return self.alias([*names, n.output[0]], (index, shape))
        if len(shape) != 2 or max(old[2:], default=1) != 1:
            raise Refused(f"a reshape of more than one pixel ({n.output[0]})")
        o = s.ReshapeOptionsT()
        o.newShape = shape
        out = self.tensor(n.output[0], shape, "float32")
        self.tensors[out].type, self.tensors[out].quantization = self.tensors[index].type, self.tensors[index].quantization
        target = self.tensor(n.output[0] + "_shape", [2], "int32", None, np.array(shape, np.int32))
        self.emit("RESHAPE", [index, target], [out], o)
        self.alias([*names, n.output[0]], (out, shape))

    def op_reshape(self, n, _):
        old = self.values[n.input[0]][1]
        shape = [old[i] if x == 0 else int(x) for i, x in enumerate(self.const[n.input[1]].tolist())]
        self.reshape(n, [int(np.prod(old)) // -int(np.prod(shape)) if x == -1 else x for x in shape])

    def op_flatten(self, n, _):
        old = self.values[n.input[0]][1]
        self.reshape(n, [old[0], int(np.prod(old[1:]))])

    def op_squeeze(self, n, _):
        old = self.values[n.input[0]][1]
        axes = [x % len(old) for x in self.const[n.input[1]].tolist()]
        self.reshape(n, [x for i, x in enumerate(old) if i not in axes])

    def op_unsqueeze(self, n, _):
        shape = list(self.values[n.input[0]][1])
        for x in self.const[n.input[1]].tolist():
            shape.insert(x % (len(shape) + 1), 1)
        self.reshape(n, shape)

    def op_softmax(self, n, _):
        index, shape = self.values[n.input[0]]
        o = s.SoftmaxOptionsT()
        o.beta = 1.0
        self.finish(n, n.output[0], "SOFTMAX", [index], shape, o)


def convert(path):
    """The .tflite bytes of an ONNX file, or `Refused`."""
    return Writer(onnx.load(path)).bytes()
