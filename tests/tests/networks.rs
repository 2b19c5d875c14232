//! Networks of other tools: the int8 file says what the network says, and every machine says the same.

use evenkeel::error::Result;
use evenkeel::lower::{Extras, Target, lower};
use evenkeel::net::set::classes;
use evenkeel::quant::{quantise_input, simulate};
use evenkeel_tests::{BOARDS, MLPERF_TINY, Network, TRAINED, host, on_device, shared_dir};

/// The int8 inputs of some rows, one after another.
fn inputs(network: &Network, q: &evenkeel::quant::QGraph, rows: usize) -> Vec<i8> {
    (0..rows).flat_map(|i| quantise_input(q, &network.row(i))).collect()
}

/// Class by class, as the two run in different number systems; bit by bit, where both are integers.
#[test]
fn int8_files_say_what_the_networks_say() -> Result<()> {
    let Some(shared) = shared_dir() else { return Ok(()) };
    for name in TRAINED {
        let network = Network::trained(&shared, name)?;
        let (q, lowered) = network.compile(&network.graph, &Extras::default())?;
        let (rows, k) = (network.set.len(), network.graph.output_shape().len());
        let inputs = inputs(&network, &q, rows);
        let outputs = host(&lowered.bytes, &inputs)?;
        let simulated: Vec<i8> =
            inputs.chunks(inputs.len() / rows).take(8).flat_map(|x| simulate(&q, x).swap_remove(q.output)).collect();
        assert_eq!(outputs[..8 * k], simulated, "{name}: the simulation is the runtime");
        let int8 = classes(&outputs.iter().map(|&v| v.into()).collect::<Vec<f32>>(), k);
        let same = int8.iter().zip(classes(&network.golden, k)).filter(|(a, b)| *a == b).count();
        println!("{name}: {same} of {rows} rows in the same class");
        assert!(same as f64 >= 0.85 * rows as f64, "{name}: {same} of {rows}");
    }
    Ok(())
}

/// Whatever the weights are packed for.
#[test]
fn the_devices_give_the_bytes_of_the_host() -> Result<()> {
    let Some(shared) = shared_dir() else { return Ok(()) };
    let trained = TRAINED.iter().map(|name| (Network::trained(&shared, name), 6));
    let reference = MLPERF_TINY.iter().map(|name| (Network::mlperf_tiny(&shared, name), 1));
    for (network, rows) in trained.chain(reference) {
        let network = network?;
        let q = network.quantise(&network.graph)?;
        let inputs = inputs(&network, &q, rows);
        let portable = host(&lower(&q, &Extras::default(), Target::Portable)?.bytes, &inputs)?;
        for (board, target) in BOARDS {
            let lowered = lower(&q, &Extras::default(), target)?;
            let Some(outcome) = on_device(board, &lowered.bytes, &inputs)? else { continue };
            assert_eq!(outcome.outputs, portable, "{} on {target}", network.name);
        }
    }
    Ok(())
}
