//! What is searched over, and how deep.

use super::*;
use crate::fair::Outcome;
use crate::graph::norm::fold_batch_norm;
use crate::net::{device, zoo};
use crate::prune::Recipe;

fn candidate(number: usize, cost: f64, overall: f64, excess: f64) -> Candidate {
    let stand =
        Stand { overall, worst: overall, drop: 0.0, max_excess_drop: excess, slack: None, verdict: Outcome::Undecided };
    Candidate { number, widths: vec![number], start: 0, macs: 0, flash: 0, ram: 0, cost, stand, recovered: None }
}

#[test]
fn the_front_has_what_none_dominates_by_cost() {
    let all = [
        candidate(0, 0.9, 0.95, 0.01),
        candidate(1, 0.5, 0.90, 0.02),
        candidate(2, 0.6, 0.90, 0.02),
        candidate(3, 0.6, 0.85, 0.00),
        candidate(4, 0.2, 0.70, 0.08),
    ];
    assert_eq!(front(&all), [4, 1, 3, 0]);
    assert_eq!(front(&[]), [0; 0]);
}

#[test]
fn cost_counts_every_kind_that_is_limited() {
    let limits = Limits { macs: Some(100), ram: Some(50), flash: None };
    let cost = Cost { macs: 50, flash: 999, ram: 50 };
    assert_eq!(share(&limits, &cost), 0.75);
    assert_eq!(between(&limits, &Limits { macs: Some(50), ram: Some(50), flash: None }, 0.5).macs, Some(75));
}

#[test]
fn the_run_goes_as_deep_as_the_rules_let_it() {
    let dense = fold_batch_norm(zoo::build("cnn1d", &[2, 16], 2, 1).unwrap());
    let frame = Frame::default();
    let macs = frame.cost(&dense).unwrap().macs;
    let limits = Limits { macs: Some(macs / 2), ..Limits::default() };
    let options = |min_share| Options {
        method: Recipe::default(),
        steps: 2,
        tune: 3,
        recover: 6,
        batch: 16,
        rate: 1e-3,
        round_to: 4,
        min_share,
        restore_norm: true,
        blocks: None,
        seed: 1,
        device: device("cpu").unwrap(),
    };
    assert_eq!(deepest(&dense, &limits, 0.5, &options(0.1), &frame).macs, Some(macs / 2 - macs / 4));
    assert_eq!(deepest(&dense, &limits, 1.0, &options(0.1), &frame), limits);
    let near = deepest(&dense, &limits, 0.1, &options(0.6), &frame).macs;
    assert!(near > Some(macs / 10) && near <= limits.macs, "{near:?} of {macs}");
}
