//! Budgets on real networks: what selection predicts is what the file has, to the byte.

use evenkeel::couple::{couple, widths};
use evenkeel::error::Result;
use evenkeel::lower::{Certificate, Cost, Extras, GroupCertificate, Target};
use evenkeel::prune::score::magnitude;
use evenkeel::prune::select::{Candidates, Frame, Limits, Policy, Rules, select};
use evenkeel::prune::shrink::shrink;
use evenkeel_tests::{Network, TRAINED, host, shared_dir};

const RULES: Rules = Rules { round_to: 4, min_share: 0.125, policy: Policy::Cheapest };

/// A file with a contract and a certificate: their bytes count too.
fn frame() -> Frame {
    let group = |name: &str| GroupCertificate { name: name.into(), ..Default::default() };
    let certificate = Certificate {
        groups: vec![group("gender=female"), group("gender=male")],
        confidence: 0.95,
        ..Default::default()
    };
    let contract = "[fairness]\ngroups = [\"gender\"]\nmax_excess_drop = 0.02\n".into();
    // Files state how raw values become inputs, once for all channels.
    Frame {
        norm: 1,
        extras: Extras { contract, certificate: Some(certificate), monitor: None },
        target: Target::Portable,
    }
}

/// Cuts the network down to the limits, and checks that the file is what was promised. Gives its cost.
fn cut(network: &Network, limits: &Limits) -> Result<Cost> {
    let (graph, frame) = (&network.graph, frame());
    let coupling = couple(graph);
    let (scores, dense_widths) = (magnitude(graph, &coupling), widths(&coupling));
    let from = Candidates { graph, coupling: &coupling, scores: &scores, dense_widths: &dense_widths };
    let keep = select(&from, limits, &RULES, &frame)?;
    let small = shrink(graph, &coupling, &keep)?;
    let predicted = frame.cost(&small)?;
    let (q, lowered) = network.compile(&small, &frame.extras)?;
    assert_eq!(lowered.cost(), predicted, "{}", network.name);
    assert_eq!(lowered.bytes.len() as u64, predicted.flash, "{}", network.name);
    assert!(limits.hold(&predicted), "{}: {predicted:?} over {limits:?}", network.name);
    let output = host(&lowered.bytes, &evenkeel::quant::quantise_input(&q, &network.row(0)))?;
    assert_eq!(output.len(), graph.output_shape().len());
    Ok(predicted)
}

#[test]
fn real_networks_meet_budgets_exactly() -> Result<()> {
    let Some(shared) = shared_dir() else { return Ok(()) };
    for name in TRAINED {
        let network = Network::trained(&shared, name)?;
        let dense = frame().cost(&network.graph)?;
        let share = |of: u64, percent: u64| Some(of * percent / 100);
        let macs = Limits { macs: share(dense.macs, 40), ..Limits::default() };
        let small = cut(&network, &macs)?;
        // No more goes than needs to: bundles of four channels are small beside a tenth of the network.
        assert!(small.macs * 10 > dense.macs * 3, "{name}: {small:?} of {dense:?}");
        let flash = Limits { flash: share(dense.flash, 50), ..macs };
        cut(&network, &flash)?;
        // RAM is a maximum over layers, and a layer that reads the input may hold it.
        let ram = Limits { ram: share(dense.ram, 80), ..flash };
        match cut(&network, &ram) {
            Ok(small) => println!("{name}: {dense:?} -> {small:?}"),
            Err(e) => {
                let said = e.to_string();
                println!("{name}: {said}");
                assert!(said.contains("ram") && said.contains("the largest layers are"), "{said}");
            }
        }
    }
    Ok(())
}
