//! Instructions of the reference networks on the emulated microcontrollers stay within `benches/budget.json`.
//!
//! Counts are exact and repeat; only another compiler changes the code around the assembler, and a little room is for
//! that. `cargo xtask bench --accept` writes the file.

use evenkeel::chain::load_quantised;
use evenkeel::contract::InputNorm;
use evenkeel::error::{Error, Result};
use evenkeel::lower::{Extras, Forms, lower_as};
use evenkeel::prune::blocks::Pattern;
use evenkeel::prune::blocks::quantised::zero_blocks;
use evenkeel_tests::{BOARDS, host, on_device, shared_dir};
use serde_json::Value;

/// What compilers may differ by.
const ROOM: f64 = 1.02;

#[test]
fn no_network_takes_more_instructions_than_its_budget() -> Result<()> {
    let Some(shared) = shared_dir() else { return Ok(()) };
    let budget = include_str!("../../benches/budget.json");
    let budget: Value = serde_json::from_str(budget).map_err(|e| Error::new(format!("benches/budget.json: {e}")))?;
    for name in ["kws", "vww", "ic", "ad"] {
        let path = shared.join(format!("models/mlperf_tiny/{name}_qdq.onnx"));
        let q = load_quantised(&path, &InputNorm::default())?.ok_or_else(|| Error::new("not quantised").at(&path))?;
        let inputs: Vec<i8> = (0..q.nodes[0].shape.len()).map(|i| (i * 37 % 251) as u8 as i8).collect();
        for (board, target) in BOARDS {
            let mut half = q.clone();
            zero_blocks(&mut half, Pattern::Share(0.5), target)?;
            for (form, q) in [("dense", &q), ("half_of_blocks", &half)] {
                let forms = if form == "dense" { Forms::Dense } else { Forms::Auto };
                let lowered = lower_as(q, &Extras::default(), target, forms)?;
                let what = format!("{name} on {target}, {form}");
                let Some(outcome) = on_device(board, &lowered.bytes, &inputs)? else { continue };
                assert_eq!(outcome.outputs, host(&lowered.bytes, &inputs)?, "{what}");
                let limit = budget[name][target.name()][form].as_u64();
                let limit = limit.ok_or_else(|| Error::new(format!("benches/budget.json has no {what}")))?;
                let count = outcome.total_instructions;
                println!("{what}: {count} of {limit}");
                assert!(count as f64 <= limit as f64 * ROOM, "{what}: {count} instructions, budget {limit}");
            }
        }
    }
    Ok(())
}
