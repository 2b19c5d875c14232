//! From a verdict to what the file carries: the certificate, and the monitor that tests it in the field.

use crate::contract::{Contract, Metric};
use crate::data::{GroupSet, Rows};
use crate::error::{Context, Result};
use crate::fair::{Outcome, Verdict};
use crate::lower::{Certificate, Cost, Extras, Floor, GroupCertificate, MonitorPlan};
use evenkeel_runtime::format::{NameRef, verdict as code};
use evenkeel_runtime::monitor::plan;

/// Points of accuracy that the field may fall below the certificate before the monitor counts it as broken.
pub const TOLERANCE: f64 = 0.02;
/// Labelled events, of all groups together, before a false alarm, on average at least (one device, about a year
/// at one label in five minutes).
pub const RUN_LENGTH: f64 = 1e5;
/// Fractional bits of the monitor's evidence.
const FRACTION: u32 = 8;

/// A fingerprint of rows, so that a later check knows whether it sees the same ones: FNV-1a over the bits of the
/// inputs and the labels.
pub fn fingerprint(rows: &Rows) -> [u32; 2] {
    let words = rows.x.iter().map(|v| v.to_bits()).chain(rows.y.iter().map(|&y| y as u32));
    let hash = words.fold(0xcbf2_9ce4_8422_2325_u64, |h, w| (h ^ u64::from(w)).wrapping_mul(0x0000_0100_0000_01b3));
    [hash as u32, (hash >> 32) as u32]
}

/// The format's code of an outcome.
pub fn outcome_code(o: Outcome) -> u32 {
    match o {
        Outcome::Pass => code::PASS,
        Outcome::Fail => code::FAIL,
        Outcome::Undecided => code::UNDECIDED,
    }
}

/// What a file made under a contract carries before there is a verdict: the right names, no numbers.
///
/// # Errors
/// When the monitor cannot be configured for so many groups.
pub fn blank(contract: &Contract, groups: &GroupSet) -> Result<Extras> {
    let group = |name: &String| GroupCertificate { name: name.clone(), ..Default::default() };
    let names: Vec<String> = groups.groups.iter().map(|g| g.name.clone()).collect();
    let certificate = Certificate {
        groups: names.iter().map(group).collect(),
        confidence: contract.fairness.confidence as f32,
        ..Default::default()
    };
    let first = groups.of_entry(0).into_iter().map(|i| (names[i].clone(), 0.5));
    Ok(Extras {
        contract: contract.text.clone(),
        certificate: Some(certificate),
        monitor: monitor(contract.fairness.metric, first.collect())?,
    })
}

/// What the file carries after the verdict.
///
/// # Errors
/// When the monitor cannot be configured for so many groups.
pub fn extras(
    contract: &Contract,
    v: &Verdict,
    data_hash: [u32; 2],
    dense_cost: Cost,
    unproven: bool,
) -> Result<Extras> {
    let f = |x: Option<f64>| x.unwrap_or(0.0) as f32;
    let groups = v.groups.iter().map(|g| GroupCertificate {
        name: g.group.clone(),
        n: g.n as u32,
        clusters: g.clusters.unwrap_or(g.n) as u32,
        dense: f(g.dense),
        pruned: f(g.pruned),
        int8: f(g.int8),
        int8_lower: g.int8_interval[0] as f32,
        excess_drop: f(g.excess_drop.value),
        excess_drop_upper: g.excess_drop.upper.map_or(f32::INFINITY, |u| u as f32),
        verdict: outcome_code(g.verdict),
    });
    let certificate = Certificate {
        verdict: outcome_code(v.verdict),
        unproven,
        confidence: v.confidence as f32,
        n: v.overall.n as u32,
        dense: f(v.overall.dense),
        pruned: f(v.overall.pruned),
        int8: f(v.overall.int8),
        data_hash,
        dense_cost,
        groups: groups.collect(),
    };
    let first = v.groups.iter().filter(|g| Some(&g.entry) == contract.fairness.groups.first());
    let floors = first.map(|g| (g.group.clone(), (g.int8_interval[0] - TOLERANCE).clamp(0.05, 0.98)));
    Ok(Extras {
        contract: contract.text.clone(),
        certificate: Some(certificate),
        monitor: monitor(v.metric, floors.collect())?,
    })
}

/// Floors for the groups of the contract's first entry. Its groups partition the people, so every labelled event
/// feeds exactly one detector, which is what the run length of all of them together rests on. Only accuracy is a
/// share of labelled events; contracts on other metrics get no monitor yet.
fn monitor(metric: Metric, floors: Vec<(String, f64)>) -> Result<Option<MonitorPlan>> {
    if metric != Metric::Accuracy {
        return Ok(None);
    }
    let head = plan::head(floors.len(), RUN_LENGTH, FRACTION).context("monitor")?;
    let floors = floors.into_iter().map(|(name, p0)| {
        let r = plan::floor_record(NameRef::default(), p0);
        Floor { name, floor: r.floor, correct: r.correct, wrong: r.wrong }
    });
    Ok(Some(MonitorPlan { threshold: head.threshold, q: head.q, floors: floors.collect() }))
}
