"""Times ONNX Runtime and LiteRT (XNNPACK), one thread each.

    peers.py [CPU]

Reads one job for each line of standard input, for example
{"peer": "onnxruntime", "network": "kws", "dtype": "int8", "file": "kws_int8.onnx", "input": "kws_int8.raw",
"shape": [1, 1, 49, 10], "ms": 30}, and answers each with one line: {"peer", "version", "network", "dtype", "ns_min",
"ns_median", "argmax"}, or with "absent" and the reason in place of the numbers. A network stays loaded, so that the
caller can let contenders take turns. With CPU, the process stays on that one.
"""

import itertools
import json
import os
import statistics
import sys
import time

import numpy as np

CHUNK_NS = 200_000
"""Calls are timed in chunks of about this length: long against the clock, short against a scheduler's time slice."""


def onnxruntime_call(job, x):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(job["file"], options, providers=["CPUExecutionProvider"])
    # Bound buffers leave out the copies and dictionaries of the Python interface.
    binding = session.io_binding()
    source = onnxruntime.OrtValue.ortvalue_from_numpy(x)
    shape = [d if isinstance(d, int) else 1 for d in session.get_outputs()[0].shape]
    target = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32)
    binding.bind_ortvalue_input(session.get_inputs()[0].name, source)
    binding.bind_ortvalue_output(session.get_outputs()[0].name, target)
    # `x` rides along: the bound input is its memory, not a copy.
    return onnxruntime.__version__, lambda: session.run_with_iobinding(binding), lambda: (target.numpy(), x)[0]


def litert_call(job, x):
    from importlib.metadata import version

    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=job["file"], num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    x = np.moveaxis(x, 1, -1)
    x = x.reshape(source["shape"])
    if source["dtype"] == np.int8:
        scale, zero = source["quantization"]
        x = np.clip(np.round(x / np.float32(scale)) + zero, -128, 127).astype(np.int8)
    interpreter.set_tensor(source["index"], x)
    return version("ai-edge-litert"), interpreter.invoke, lambda: interpreter.get_tensor(target["index"])


CALLS = {"onnxruntime": onnxruntime_call, "litert": litert_call}


def time_of(call, ms):
    """Least and median nanoseconds for one call, over chunks that take `ms` milliseconds in all."""
    for _ in range(3):
        call()
    begin = time.perf_counter_ns()
    call()
    n = max(1, CHUNK_NS // max(1, time.perf_counter_ns() - begin))
    chunks, end = [], begin + ms * 1_000_000
    while len(chunks) < 5 or time.perf_counter_ns() < end:
        start = time.perf_counter_ns()
        for _ in itertools.repeat(None, n):
            call()
        chunks.append((time.perf_counter_ns() - start) / n)
    return min(chunks), statistics.median(chunks)


def answer(job, loaded):
    head = {k: job[k] for k in ("peer", "network", "dtype")}
    key = tuple(head.values())
    try:
        if key not in loaded:
            x = np.fromfile(job["input"], np.float32).reshape(job["shape"])
            loaded[key] = CALLS[job["peer"]](job, x)
        version, call, output = loaded[key]
        least, median = time_of(call, job["ms"])
        return head | {"version": version, "ns_min": least, "ns_median": median, "argmax": int(output().argmax())}
    except Exception as e:  # a peer that refuses a file is a result
        return head | {"absent": f"{type(e).__name__}: {e}"}


def main():
    if len(sys.argv) > 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(sys.argv[1])})
    loaded = {}
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), loaded)), flush=True)


if __name__ == "__main__":
    main()
