//! Bytes as an ONNX file: refused, or a network that can be analysed, exported and imported again.
#![no_main]

use evenkeel::couple::{couple, widths};
use evenkeel::onnx;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(graph) = onnx::from_bytes("fuzz", data) else { return };
    let coupling = couple(&graph);
    for node in 0..graph.nodes.len() {
        assert_eq!(coupling.features(node, &widths(&coupling)), graph.nodes[node].shape.c);
    }
    let bytes = onnx::to_bytes(&graph).expect("an imported network can be exported");
    let again = onnx::from_bytes("fuzz", &bytes).expect("an exported network can be imported");
    assert_eq!((graph.input_shape(), graph.output_shape()), (again.input_shape(), again.output_shape()));
    assert_eq!(graph.macs(), again.macs());
});
