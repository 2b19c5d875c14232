//! `evenkeel monitor merge`: what a fleet says of each group.

use super::super::print_json;
use super::read::{Inputs, terms};
use clap::Args;
use evenkeel::error::{Error, Result};
use evenkeel_monitor::collect::{Arrival, Collection};
use evenkeel_monitor::evidence::interval::{Z95, confidence_sequence, disagreement, wilson};
use evenkeel_monitor::evidence::{e_bh, latches};
use evenkeel_monitor::merge::{Fleet, Limits, Row, Tests, merge};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Adds up the newest snapshots of a fleet, tests each group, and shows only what does not single out people.
#[derive(Args)]
#[command(after_help = "Example: evenkeel monitor merge snapshots/ --model model.keel --key fleet.key")]
pub struct Merge {
    #[command(flatten)]
    inputs: Inputs,
    /// The .keel file that the devices run
    #[arg(long)]
    model: PathBuf,
    /// Devices that a group needs to be shown by itself
    #[arg(long, default_value_t = Limits::default().devices)]
    min_devices: usize,
    /// Labelled events that a group needs to be shown by itself
    #[arg(long, default_value_t = Limits::default().labels)]
    min_labels: u64,
    /// Level of the alarms and of the bounds
    #[arg(long, default_value_t = 0.05)]
    alpha: f64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Merge {
    pub fn run(&self) -> Result<()> {
        if !(self.alpha > 0.0 && self.alpha < 1.0) {
            return Err(Error::new("--alpha must be between 0 and 1"));
        }
        let terms = terms(&self.model)?;
        let (mut fleet, mut odd) = (Collection::default(), Vec::new());
        for snapshot in self.inputs.snapshots()? {
            let header = snapshot.header;
            let what = match fleet.insert(snapshot) {
                Arrival::Equivocation => "two contents under one number",
                Arrival::Rollback(what) => what,
                Arrival::New | Arrival::Duplicate | Arrival::Stale { .. } => continue,
            };
            odd.push(json!({"device": header.device, "seq": header.seq, "what": what}));
            eprintln!("device {} snapshot {}: {what}", header.device, header.seq);
        }
        let limits = Limits { devices: self.min_devices, labels: self.min_labels };
        let merged = merge(fleet.latest().map(|(_, s)| s), &terms, &limits);
        if merged.snapshots == 0 {
            return Err(Error::new("no snapshot was counted under the configuration of this file")
                .at(&self.model)
                .help("give the .keel file that the devices run"));
        }
        let groups = terms.groups.len();
        if self.json { print_json(&self.value(&merged, groups, &odd)) } else { self.print(&merged, groups) }
    }

    /// The groups that a report of today may call bad, by their place in the rows.
    fn dated(&self, fleet: &Fleet, log: fn(&Tests) -> Option<f64>) -> Vec<usize> {
        let none = f64::NEG_INFINITY;
        let logs: Vec<f64> = fleet.rows.iter().map(|r| r.tests.as_ref().and_then(log).unwrap_or(none)).collect();
        e_bh(&logs, self.alpha)
    }

    fn value(&self, fleet: &Fleet, groups: usize, odd: &[Value]) -> Value {
        let [floors, gaps] = self.bad(fleet);
        let row = |(i, r): (usize, &Row)| {
            let (n, k) = (r.counts.n, r.counts.correct);
            let tests = r.tests.as_ref().map(|t| {
                json!({"floor": t.floor, "log2_evidence_floor": finite(t.log2_floor), "alarm_floor": latches(t.log2_floor, groups, self.alpha),
                       "bad_today_floor": floors.contains(&i), "log2_evidence_gap": t.log2_gap.and_then(finite),
                       "alarm_gap": t.log2_gap.map(|g| latches(g, groups, self.alpha)), "bad_today_gap": gaps.contains(&i),
                       "gap": t.gap, "pooled_gap_unsafe": t.pooled_gap, "expected_accuracy": t.expected_accuracy, "stability_index": t.stability})
            });
            json!({"groups": r.groups, "devices": r.devices, "n": n, "correct": k, "accuracy": r.accuracy(),
                   "wilson": wilson(k, n, Z95), "confidence_sequence": confidence_sequence(k, n, self.alpha),
                   "coverage": r.coverage(), "expired": r.predicted.map(|p| p.1),
                   "disagreement_at_most": r.shadowed.map(|s| disagreement(s.correct, s.n, self.alpha)), "tests": tests})
        };
        let totals = fleet.totals.map(|t| {
            let [reference, user, outcome, complaint] = t.sources;
            json!({"reference": reference, "user": user, "outcome": outcome, "complaint": complaint, "crowded": t.crowded, "unknown_group": t.unknown})
        });
        json!({"verified": self.inputs.verifies(), "devices": fleet.devices, "snapshots": fleet.snapshots,
               "other_configurations": fleet.others, "alpha": self.alpha,
               "groups": fleet.rows.iter().enumerate().map(row).collect::<Vec<_>>(),
               "other_groups": fleet.rest.as_ref().map(|r| row((usize::MAX, r))), "withheld": fleet.withheld,
               "totals": totals, "odd": odd})
    }

    fn bad(&self, fleet: &Fleet) -> [Vec<usize>; 2] {
        [self.dated(fleet, |t| Some(t.log2_floor)), self.dated(fleet, |t| t.log2_gap)]
    }

    fn print(&self, fleet: &Fleet, groups: usize) -> Result<()> {
        say!("{} devices, {} snapshots", fleet.devices, fleet.snapshots);
        if fleet.others > 0 {
            say!("{} snapshots of other configurations are left out", fleet.others);
        }
        let bad = self.bad(fleet);
        for (i, r) in fleet.rows.iter().enumerate() {
            line(r, self.alpha);
            let Some(t) = &r.tests else { continue };
            let rings = |log: f64| if latches(log, groups, self.alpha) { "ALARM" } else { "no alarm" };
            let today = |of: usize| if bad[of].contains(&i) { ", bad in a report of today" } else { "" };
            say!("    floor {:.3}: log2 evidence {:.1}: {}{}", t.floor, t.log2_floor, rings(t.log2_floor), today(0));
            if let Some(log) = t.log2_gap {
                let gap =
                    t.gap.map_or(String::new(), |g| format!(", others ahead by {:+.1} pp within devices", 100.0 * g));
                let pooled = t.pooled_gap.map_or(String::new(), |g| format!(" (unsafe, pooled: {:+.1} pp)", 100.0 * g));
                say!("    gap: log2 evidence {log:.1}: {}{}{gap}{pooled}", rings(log), today(1));
            }
            if let Some(s) = r.shadowed.filter(|s| s.n > 0) {
                let most = disagreement(s.correct, s.n, self.alpha);
                say!("    disagrees with the larger model in at most {:.1} % ({} of {})", 100.0 * most, s.correct, s.n);
            }
            if let (Some(expected), Some(psi)) = (t.expected_accuracy, t.stability) {
                say!("    estimated without labels: accuracy {expected:.3}; stability index of confidences {psi:.3}");
            }
        }
        if let Some(rest) = &fleet.rest {
            line(&Row { groups: vec![format!("other groups ({})", rest.groups.len())], ..rest.clone() }, self.alpha);
        }
        if !fleet.withheld.is_empty() {
            let why = format!(
                "fewer than {} devices or {} labels, or next to such a group",
                self.min_devices, self.min_labels
            );
            say!("not shown by themselves ({why}): {}", fleet.withheld.join(", "));
        }
        match fleet.totals {
            Some(t) => {
                let [reference, user, outcome, complaint] = t.sources;
                say!(
                    "labels: {reference} reference, {user} user, {outcome} outcome, {complaint} complaint; {} predictions too close; {} events of an unknown group",
                    t.crowded,
                    t.unknown
                );
            }
            None => say!("totals are withheld: what is not shown could be had as a difference"),
        }
        Ok(())
    }
}

fn finite(x: f64) -> Option<f64> {
    x.is_finite().then_some(x)
}

fn line(r: &Row, alpha: f64) {
    let (n, k) = (r.counts.n, r.counts.correct);
    let ((lo, hi), (least, most)) = (wilson(k, n, Z95), confidence_sequence(k, n, alpha));
    let coverage = r.coverage().map_or(String::new(), |c| format!("; labels for {:.1} % of predictions", 100.0 * c));
    let expired = r.predicted.filter(|p| p.1 > 0).map_or(String::new(), |p| format!(", {} without", p.1));
    say!(
        "  {:<30} {k} of {n} right ({:.3}, 95 % {lo:.3} to {hi:.3}, at all times {least:.3} to {most:.3}) on {} devices{coverage}{expired}",
        r.groups.join(", "),
        r.accuracy().unwrap_or(0.0),
        r.devices
    );
}
