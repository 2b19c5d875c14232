//! The cost model before pruning against counts of the emulator afterwards.

use evenkeel::error::{Error, Result};
use evenkeel::lower::forecast::{Forecast, of_network};
use evenkeel::lower::{Extras, Target, lower};
use evenkeel::prune::blocks::Pattern;
use evenkeel::prune::blocks::quantised::zero_blocks;
use evenkeel::quant::{QGraph, quantise_input};
use evenkeel_emulator::{Board, Error as DeviceError, Job};
use evenkeel_runtime::Model;
use evenkeel_runtime::format::{encoding, flag};
use evenkeel_tests::{MLPERF_TINY, Network, shared_dir};

/// What the predictions of a network's layers may be off together.
const OF_NETWORK: f64 = 0.12;
/// What the prediction of a layer may be off.
const OF_LAYER: f64 = 0.35;

/// Instructions of the file's operators on the emulated Cortex-M4; `None`, and a plain line, where there is none.
fn counts(file: &[u8], input: &[i8]) -> Result<Option<Vec<u64>>> {
    let board = Board::Mps2An386;
    let Some(firmware) = board.find_firmware() else {
        println!("skipped: no firmware; build it with `cargo xtask firmware`");
        return Ok(None);
    };
    let job =
        Job { board, firmware: &firmware, model: file, inputs: input, labels: None, groups: None, portable: false };
    match evenkeel_emulator::run(&job) {
        Err(e @ (DeviceError::NoQemu | DeviceError::NoFirmware(_))) => {
            println!("skipped: {e}");
            Ok(None)
        }
        outcome => Ok(Some(outcome.map_err(Error::new)?.layers)),
    }
}

/// Predicted and counted instructions of each layer that the model knows, by name. `false` where nothing could be
/// counted.
fn compare(name: &str, q: &QGraph, input: &[i8]) -> Result<bool> {
    let lowered = lower(q, &Extras::default(), Target::CortexM4)?;
    let Some(counted) = counts(&lowered.bytes, input)? else { return Ok(false) };
    let mut words = vec![0u64; lowered.bytes.len().div_ceil(8)];
    let bytes = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..lowered.bytes.len()];
    bytes.copy_from_slice(&lowered.bytes);
    let model = Model::from_bytes(bytes).map_err(Error::new)?;
    let forecasts = of_network(q, Target::CortexM4);
    let mut sums = (0.0, 0.0);
    for (op, &counted) in model.ops().iter().zip(&counted) {
        let of = |f: &&Forecast| f.name == model.name(op.name) && f.op == op.code_name();
        // A sum that is computed with a convolution is not in the model.
        let Some(f) = forecasts.iter().find(of).filter(|_| !op.has(flag::FUSED_ADD)) else { continue };
        let predicted = if op.encoding == encoding::DENSE { f.dense } else { f.half };
        let off = predicted as f64 / counted as f64 - 1.0;
        println!("{name} {:<20} predicted {predicted:>9} counted {counted:>9} {:+.1}%", f.name, off * 100.0);
        assert!(off.abs() <= OF_LAYER, "{name} {}: {predicted} predicted, {counted} counted", f.name);
        sums = (sums.0 + predicted as f64, sums.1 + counted as f64);
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
        let mut half = dense.clone();
        zero_blocks(&mut half, Pattern::Even(0.5), Target::CortexM4)?;
        for (form, q) in [("dense", &dense), ("half", &half)] {
            if !compare(&format!("{name} {form}"), q, &quantise_input(q, &network.row(0)))? {
                return Ok(());
            }
        }
    }
    Ok(())
}
