"""Writes what the peers run: for each network the ONNX file in f32 and int8, its .tflite, and one input.

    prepare.py SHARED OUT

The MLPerf Tiny networks have an int8 file with the scales of the published .tflite. The networks of SHARED/models
have none, so ONNX Runtime's own quantiser makes one: QDQ, one scale for each channel, ranges from the recorded inputs.
Prints one JSON line for each network and dtype.
"""

import json
import pathlib
import shutil
import sys

import numpy as np
import onnx
import onnxruntime
from onnxruntime import quantization as q

MLPERF = ["kws", "vww", "ic", "ad"]
MODELS = ["har_cnn", "har_cnn_bn", "har_dscnn", "ecg_resnet1d", "face_resnet8", "face_mbv2"]


class Rows(q.CalibrationDataReader):
    """Inputs for the calibration, one after another."""

    def __init__(self, x):
        self.rows = iter(x)

    def get_next(self):
        x = next(self.rows, None)
        return None if x is None else {"input": x[None]}


def simplified(source, target):
    """Batch 1, constants folded, normalisation folded: only operators that the ONNX standard has."""
    model = onnx.load(source)
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    folded(model, target)
    folded(onnx.load(target), target)  # what the first pass unfolds (CastLike to Cast) folds in the second


def folded(model, target):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def quantised(source, target, x):
    q.quantize_static(
        str(source), str(target), Rows(x), q.QuantFormat.QDQ, per_channel=True,
        activation_type=q.QuantType.QInt8, weight_type=q.QuantType.QInt8,
    )


def sources(shared, out):
    """Network, golden file of each dtype, and the ONNX file of each dtype, written under `out`."""
    for name in MLPERF:
        files = {"f32": out / f"{name}_f32.onnx", "int8": out / f"{name}_int8.onnx"}
        golden = {"f32": f"mlperf_tiny/{name}_f32.npz", "int8": f"mlperf_tiny/{name}_qdq.npz"}
        shutil.copyfile(shared / f"models/mlperf_tiny/{name}_f32.onnx", files["f32"])
        shutil.copyfile(shared / f"models/mlperf_tiny/{name}_qdq.onnx", files["int8"])
        yield name, golden, files
    for name in MODELS:
        files = {"f32": out / f"{name}_f32.onnx", "int8": out / f"{name}_int8.onnx"}
        golden = {"f32": f"torch/{name}.npz", "int8": f"torch/{name}.npz"}
        simplified(shared / f"models/{name}.onnx", files["f32"])
        quantised(files["f32"], files["int8"], np.load(shared / "golden" / golden["f32"])["x"])
        yield name, golden, files


def main(shared, out):
    shared, out = pathlib.Path(shared), pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for name, golden, files in sources(shared, out):
        for dtype, onnx_file in files.items():
            data = np.load(shared / "golden" / golden[dtype])
            x = np.ascontiguousarray(data["x"][:1], np.float32)
            stem = onnx_file.with_suffix("")
            (stem.with_suffix(".raw")).write_bytes(x.tobytes())
            line = {
                "network": name, "dtype": dtype, "onnx": str(onnx_file), "bytes_onnx": onnx_file.stat().st_size,
                "input": str(stem.with_suffix(".raw")), "shape": list(x.shape), "argmax": int(data["y"][0].argmax()),
            }
            try:
                import tflite_writer  # its schema comes with LiteRT, which not every machine can install

                tflite = tflite_writer.convert(onnx_file)
                stem.with_suffix(".tflite").write_bytes(tflite)
                line |= {"tflite": str(stem.with_suffix(".tflite")), "bytes_tflite": len(tflite)}
            except Exception as e:  # whatever it is, the other peers go on without this file
                line["no_tflite"] = f"no .tflite: {type(e).__name__}: {e}"
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
