//! The cost model before pruning against counts of the emulator afterwards.

use evenkeel::aligned::AlignedBytes;
use evenkeel::error::{Error, Result};
use evenkeel::lower::forecast::{Forecast, of_network};
use evenkeel::lower::{Extras, Target, lower};
use evenkeel::prune::blocks::Pattern;
use evenkeel::prune::blocks::quantised::zero_blocks;
use evenkeel::quant::{QGraph, quantise_input};
use evenkeel_emulator::Board;
use evenkeel_runtime::Model;
use evenkeel_runtime::format::{encoding, flag};
use evenkeel_tests::{BOARDS, MLPERF_TINY, Network, on_device, shared_dir};

/// What the predictions of a network's layers may be off together.
const OF_NETWORK: f64 = 0.1;
/// What the prediction of a layer may be off, unless it is so small that the way to the kernel is most of it.
const OF_LAYER: f64 = 0.25;
const SMALL: u64 = 3000;

/// Predicted and counted instructions of each layer that the model knows, by name. `false` where nothing could be
/// counted.
fn compare(name: &str, q: &QGraph, input: &[i8], (board, target): (Board, Target)) -> Result<bool> {
    let lowered = lower(q, &Extras::default(), target)?;
    let Some(outcome) = on_device(board, &lowered.bytes, input)? else { return Ok(false) };
    let file = AlignedBytes::new(&lowered.bytes);
    let model = Model::from_bytes(file.bytes()).map_err(Error::new)?;
    let forecasts = of_network(q, target);
    let mut sums = (0.0, 0.0);
    for (i, (op, &counted)) in model.ops().iter().zip(&outcome.layers).enumerate() {
        let of = |f: &&Forecast| f.name == model.name(op.name) && f.op == op.code_name();
        // A sum that is computed with a convolution is not in the model.
        let Some(f) = forecasts.iter().find(of).filter(|_| !op.has(flag::FUSED_ADD)) else { continue };
        // The model is linear in the share of blocks that are stored, and trained networks have zero blocks of their own.
        let (half, quarter, share) = (f.half as f64, f.quarter as f64, model.macs(i) as f64 / f.macs as f64);
        let predicted = match op.encoding {
            encoding::DENSE => f.dense as f64,
            _ => half + (half - quarter) * (share - 0.5) / 0.25,
        };
        let off = predicted / counted as f64 - 1.0;
        println!("{name} {:<20} predicted {predicted:>9.0} counted {counted:>9} {:+.1}%", f.name, off * 100.0);
        assert!(
            off.abs() <= OF_LAYER || counted < SMALL,
            "{name} {}: {predicted:.0} predicted, {counted} counted",
            f.name
        );
        sums = (sums.0 + predicted, sums.1 + counted as f64);
    }
    let off = sums.0 / sums.1 - 1.0;
    println!("{name}: {:+.1}%", off * 100.0);
    assert!(off.abs() <= OF_NETWORK, "{name}: {} predicted, {} counted", sums.0, sums.1);
    Ok(true)
}

#[test]
fn predictions_are_near_the_emulators_counts() -> Result<()> {
    let Some(shared) = shared_dir() else { return Ok(()) };
    for name in MLPERF_TINY {
        let network = Network::mlperf_tiny(&shared, name)?;
        let (dense, _) = network.compile(&network.graph, &Extras::default())?;
        for (board, target) in BOARDS {
            let mut few = dense.clone();
            zero_blocks(&mut few, Pattern::Even(0.7), target)?;
            for (form, q) in [("dense", &dense), ("sparse", &few)] {
                let what = format!("{name} on {target} {form}");
                if !compare(&what, q, &quantise_input(q, &network.row(0)), (board, target))? {
                    break;
                }
            }
        }
    }
    Ok(())
}
