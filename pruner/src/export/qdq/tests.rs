//! Files written as ONNX and read back compute what they did.

use super::*;
use crate::lower::{Extras, Target, lower};
use crate::onnx::quantised_from_bytes;
use crate::quant::from_marks;
use crate::quant::testing::{quantised, simulated_output};

/// Random networks, packed for every target. The importer takes no look-up tables and not every Pad, and those it does
/// not take are left out; the others' results differ by rare sums that lie between two integers.
#[test]
fn reading_back_gives_the_same_results() {
    let (mut compared, mut off) = (0, Vec::new());
    for seed in 0..120 {
        let (_, q, rows) = quantised(seed);
        let target = Target::ALL[seed as usize % Target::ALL.len()];
        let lowered = lower(&q, &Extras::default(), target).unwrap();
        let file = AlignedBytes::new(&lowered.bytes);
        let model = Model::from_bytes(file.bytes()).unwrap();
        let bytes = match to_onnx(&model, "net").and_then(|_| write(&model, "net", false)) {
            Ok(bytes) => bytes,
            Err(e) => {
                assert!(e.to_string().contains("has dilations"), "seed {seed}: {e}");
                continue;
            }
        };
        let Ok(Some(marked)) = quantised_from_bytes("net", &bytes) else { continue };
        let Ok(back) = from_marks(&marked, model.input_channels().to_vec()) else { continue };
        compared += 1;
        let step = model.output().scale;
        for row in &rows {
            let (want, got) = (simulated_output(&q, row), simulated_output(&back, row));
            let squares = want.iter().zip(&got).map(|(a, b)| ((a - b) / step).powi(2));
            let mean = squares.sum::<f32>() / want.len() as f32;
            if want.len() != got.len() || mean > 2.0 {
                let ops: Vec<_> = model.ops().iter().map(|o| o.code_name()).collect();
                off.push(format!("seed {seed} for {target}: {mean} squared steps; {ops:?}"));
                break;
            }
        }
    }
    assert!(off.is_empty(), "{}", off.join("\n"));
    assert!(compared >= 20, "only {compared} files were read back");
}
