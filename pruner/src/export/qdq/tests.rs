//! Files written as ONNX and read back compute what they did.

use super::*;
use crate::lower::{Extras, Target, lower};
use crate::onnx::quantised_from_bytes;
use crate::quant::from_marks;
use crate::quant::testing::{quantised, simulated_output};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Random networks, packed for every target: the results differ by a step at most, but for rare sums between two.
    #[test]
    fn reading_back_gives_the_same_results(seed in any::<u64>()) {
        let (_, q, rows) = quantised(seed);
        let target = Target::ALL[seed as usize % Target::ALL.len()];
        let lowered = lower(&q, &Extras::default(), target).unwrap();
        let model = Model::from_bytes(&lowered.bytes).unwrap();
        let bytes = to_onnx(&model, "net").unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let codes: Vec<u16> = model.ops().iter().map(|o| o.code).collect();
        // Tables are written as look-ups, which the importer does not take for a function.
        if codes.contains(&op::LUT) {
            return Ok(());
        }
        let marked = quantised_from_bytes("net", &bytes).unwrap_or_else(|e| panic!("seed {seed}: {e}")).expect("marks");
        let back = from_marks(&marked, vec![]).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let step = model.output().scale;
        for row in &rows {
            let (want, got) = (simulated_output(&q, row), simulated_output(&back, row));
            prop_assert_eq!(want.len(), got.len());
            let off = |(a, b): (&f32, &f32)| ((a - b) / step).powi(2);
            let mean = want.iter().zip(&got).map(off).sum::<f32>() / want.len() as f32;
            prop_assert!(mean <= 1.0, "{mean} steps² off for {}: {:?} {:?}", target, want, got);
        }
    }
}
