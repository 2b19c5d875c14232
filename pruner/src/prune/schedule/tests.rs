//! The whole search on a small network.

use super::*;
use crate::data::GroupSet;
use crate::data::groups::Group;
use crate::graph::norm::fold_batch_norm;
use crate::net::{device, zoo};

const CONTRACT: &str = "[fairness]\ngroups = [\"g\"]\nmax_excess_drop = 0.1\n";

fn options() -> Options {
    Options {
        method: Recipe::default(),
        steps: 2,
        tune: 3,
        recover: 6,
        batch: 16,
        rate: 1e-3,
        round_to: 4,
        min_share: 0.1,
        restore_norm: true,
        blocks: None,
        seed: 1,
        device: device("cpu").unwrap(),
    }
}

/// Rows of two classes that differ in the sign of the first channel, in two groups.
fn rows(n: usize) -> (Set, GroupSet) {
    let y: Vec<usize> = (0..n).map(|i| i % 2).collect();
    let sample = |(i, &c): (usize, &usize)| {
        let level = c as f32 - 0.5;
        (0..32).map(move |j| ((i * 7 + j * 3) % 5) as f32 * 0.1 + if j < 16 { level } else { 0.0 }).collect::<Vec<_>>()
    };
    let x = y.iter().enumerate().flat_map(sample).collect();
    let group = |name: &str, rest: usize| Group { name: name.into(), rows: (rest..n).step_by(3).collect() };
    let mut other = group("g=b", 1);
    other.rows.extend(group("", 2).rows);
    other.rows.sort_unstable();
    let of_row = (0..n).map(|i| vec![u32::from(i % 3 != 0)]).collect();
    (Set::for_test(x, y, 32), GroupSet { groups: vec![group("g=a", 0), other], of_row })
}

fn run(budget: &str, options: &Options, stop: &Stop) -> Result<Outcome> {
    let dense = fold_batch_norm(zoo::build("cnn1d", &[2, 16], 2, 1).unwrap());
    let contract = Contract::parse(&format!("{CONTRACT}[budget]\n{budget}")).unwrap();
    let (set, groups) = rows(60);
    let split = Split { set: &set, groups: &groups };
    prune(&dense, split, split, &contract, options, &Frame::default(), stop)
}

/// Every part of every method, and a sum of many, ends within the budget, twice the same.
#[test]
fn every_method_runs() {
    let names = crate::prune::recipe::PARTS.iter().map(|p| p.name).chain(["fairgrape+pw-loss+at+kd+ceag+last-layer"]);
    for name in names {
        let go = || run("macs = \"40%\"", &Options { method: name.parse().unwrap(), ..options() }, &Stop::default());
        let o = go().unwrap();
        assert!(o.limits.hold(&o.cost.1) && !o.stopped, "{name}: {:?} {:?}", o.limits, o.cost);
        assert_eq!(o.graph, go().unwrap().graph, "{name}");
        assert_eq!(o.path.len(), o.history.len());
    }
}

#[test]
fn every_budget_is_met_by_either_method() {
    for (budget, method) in
        [("macs = \"30%\"", "default"), ("flash = \"50%\"\nram = \"60%\"", "default"), ("macs = \"30%\"", "magnitude")]
    {
        let o = run(budget, &Options { method: method.parse().unwrap(), ..options() }, &Stop::default()).unwrap();
        assert!(o.limits.hold(&o.cost.1) && !o.stopped, "{budget}: {:?} {:?}", o.limits, o.cost);
        let phases: Vec<&str> = o.history.iter().map(|h| h.phase.as_str()).collect();
        assert_eq!(phases, ["dense", "step 1", "recovery"]);
        assert!(o.history.windows(2).all(|h| h[1].macs <= h[0].macs));
        assert!(o.widths.iter().all(|(_, before, after)| after <= before && after % 4 == 0), "{:?}", o.widths);
    }
}

#[test]
fn a_seed_gives_the_same_network() {
    let go = || run("macs = \"50%\"", &options(), &Stop::default()).unwrap().graph;
    assert_eq!(go(), go());
}

#[test]
fn one_channel_a_layer_is_still_a_network() {
    let dense = fold_batch_norm(zoo::build("dscnn1d", &[2, 16], 2, 1).unwrap());
    let (set, groups) = rows(60);
    let split = Split { set: &set, groups: &groups };
    let contract = Contract::parse(&format!("{CONTRACT}[budget]\nmacs = 1200\n")).unwrap();
    let options = Options { round_to: 1, min_share: 0.0, steps: 3, ..options() };
    let o = prune(&dense, split, split, &contract, &options, &Frame::default(), &Stop::default()).unwrap();
    assert!(o.cost.1.macs <= 1200, "{:?}", o.cost);
}

#[test]
fn what_cannot_be_done_is_refused_before_any_work() {
    let e = run("macs = 10", &options(), &Stop::default()).unwrap_err().to_string();
    assert!(e.contains("cannot be met"), "{e}");
    let dense = fold_batch_norm(zoo::build("cnn1d", &[2, 16], 3, 1).unwrap());
    let contract = Contract::parse(&format!("{CONTRACT}metric = \"recall:2\"\n")).unwrap();
    let (set, groups) = rows(60);
    let split = Split { set: &set, groups: &groups };
    let e = prune(&dense, split, split, &contract, &options(), &Frame::default(), &Stop::default());
    let e = e.unwrap_err().to_string();
    assert!(e.contains("no row of split `train` counts for the metric recall:2"), "{e}");
}

/// Blocks are zero in the network that comes out, as many as asked for, and the budget holds as well.
#[test]
fn blocks_stay_zero_through_training() {
    let frame = Frame { target: crate::lower::Target::CortexM4, ..Frame::default() };
    let dense = fold_batch_norm(zoo::build("cnn1d", &[2, 16], 2, 1).unwrap());
    let contract = Contract::parse(&format!("{CONTRACT}[budget]\nmacs = \"70%\"\n")).unwrap();
    let (set, groups) = rows(60);
    let split = Split { set: &set, groups: &groups };
    let go = |pattern: Pattern, method: &str| {
        let blocks = Some(BlockOptions { pattern, steps: 2 });
        let options = Options { blocks, method: method.parse().unwrap(), ..options() };
        prune(&dense, split, split, &contract, &options, &frame, &Stop::default()).unwrap()
    };
    let patterns = [Pattern::Share(0.5), Pattern::Even(0.5), Pattern::OfEach { keep: 2, of: 4 }];
    for (pattern, method) in patterns.map(|p| (p, "default")).into_iter().chain([(patterns[0], "magnitude")]) {
        let o = go(pattern, method);
        assert!(o.limits.hold(&o.cost.1) && !o.stopped && !o.blocks.is_empty(), "{pattern:?}");
        let phases: Vec<&str> = o.history.iter().map(|h| h.phase.as_str()).collect();
        assert_eq!(phases, ["dense", "step 1", "step 2", "blocks 1", "recovery"]);
        assert!(o.history[4].macs < o.cost.1.macs);
        let (tiles, zero) = o.blocks.iter().fold((0, 0), |sum, (_, tiles, zero)| (sum.0 + tiles, sum.1 + zero));
        assert!((0.4..0.6).contains(&(zero as f64 / tiles as f64)), "{pattern:?} {zero} of {tiles}: {:?}", o.blocks);
    }
    assert_eq!(go(patterns[0], "default").graph, go(patterns[0], "default").graph);
}

/// Methods that learn masks, that train before pruning, or the last layer at the end train for as many steps as others.
#[test]
fn all_methods_train_for_as_many_steps() {
    for part in &crate::prune::recipe::PARTS {
        let o = Options { method: part.name.parse().unwrap(), tune: 60, recover: 900, ..options() };
        let (before, recover, last) = shares(&o);
        let learnt = if learns(&o) { o.tune } else { 0 };
        assert_eq!(before + recover + last + learnt, 900, "{}", part.name);
        assert_eq!((before > 0, last > 0), (o.method.when == When::Before, o.method.last_layer), "{}", part.name);
    }
}

/// A part that would do nothing in a network is refused.
#[test]
fn parts_without_anything_to_act_on_are_refused() {
    let mlp = fold_batch_norm(zoo::build("mlp", &[8], 2, 1).unwrap());
    let with = |method: &str| Options { method: method.parse().unwrap(), tune: 60, recover: 900, ..options() };
    let e = fits(&mlp, &with("at+kd")).unwrap_err().to_string();
    assert!(e.contains("`at`") && e.contains("sp or pkt"), "{e}");
    assert!(fits(&mlp, &with("sp+pkt+last-layer")).is_ok());
    let mut b = crate::graph::samples::Builder::new(1, crate::graph::Shape::vector(4));
    let (x, y) = (b.linear(0, 2), b.linear(0, 2));
    let sum = b.add(x, y);
    let two_heads = b.finish(sum);
    for part in ["last-layer", "sp", "pkt+kd"] {
        assert!(fits(&two_heads, &with(part)).unwrap_err().to_string().contains(part));
    }
    // Gates are learnt in steps of the recovery.
    for (tune, recover) in [(0, 900), (60, 60), (60, 80)] {
        let few = Options { tune, recover, ..with("ffw+last-layer") };
        assert!(fits(&mlp, &few).unwrap_err().to_string().contains("--recover"), "{tune} {recover}");
    }
    assert!(fits(&mlp, &Options { recover: 81, ..with("ffw+last-layer") }).is_ok());
}
