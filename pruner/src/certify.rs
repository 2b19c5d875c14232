//! From a verdict to what the file carries: the certificate, and the monitor that tests it in the field.

use crate::contract::{Contract, Fairness, Metric};
use crate::data::{GroupSet, Rows};
use crate::error::{Context, Result};
use crate::fair::{GroupVerdict, Outcome, Verdict};
use crate::field::{self, Field, Measured};
use crate::lower::{Certificate, Cost, Extras, Floor, GroupCertificate, MonitorPlan};
use evenkeel_runtime::format::{NameRef, verdict as code};
use evenkeel_runtime::monitor::plan;

/// Points of accuracy that the field may fall below the certificate before the monitor counts it as broken.
pub const TOLERANCE: f64 = 0.02;
/// Labelled events, of all groups together, before a false alarm, on average at least (one device, about a year
/// at one label in five minutes).
pub const RUN_LENGTH: f64 = 1e5;
/// Floors are kept inside of this: beyond, there is next to nothing to lose or to keep.
pub const FLOORS: [f64; 2] = [0.05, 0.98];
/// A floor so far under the measured accuracy is worth a word.
const WEAK: f64 = 0.15;
/// Fractional bits of the monitor's evidence, where they fit.
const FRACTION: u32 = 8;

/// A fingerprint of rows, so that a later check knows whether it sees the same ones: FNV-1a over the bits of the
/// inputs, the labels, and the values of every column that the contract names for groups and clusters.
pub fn fingerprint(rows: &Rows, fairness: &Fairness) -> [u32; 2] {
    let names = fairness.groups.iter().flat_map(|g| g.split('*')).chain(fairness.cluster.as_deref());
    let columns = names.filter_map(|name| rows.columns.get(name.trim()));
    // A value ends with what no text has in it.
    let value = |text: &String| text.bytes().map(u32::from).chain([u32::MAX]).collect::<Vec<_>>();
    let told = columns.flat_map(|c| c.codes.iter().flat_map(move |&code| value(&c.values[code as usize])));
    let words = rows.x.iter().map(|v| v.to_bits()).chain(rows.y.iter().map(|&y| y as u32)).chain(told);
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

/// What a file of a network with so many outputs, made under a contract, carries before there is a verdict: the right
/// names, no numbers.
///
/// # Errors
/// When the monitor cannot be configured for so many groups.
pub fn blank(contract: &Contract, groups: &GroupSet, classes: usize) -> Result<Extras> {
    let group = |name: &String| GroupCertificate { name: name.clone(), ..Default::default() };
    let names: Vec<String> = groups.groups.iter().map(|g| g.name.clone()).collect();
    let certificate = Certificate {
        groups: names.iter().map(group).collect(),
        confidence: contract.fairness.confidence as f32,
        ..Default::default()
    };
    let first: Vec<_> = groups.of_entry(0).into_iter().map(|i| (names[i].clone(), 0.5)).collect();
    let blank = |gap| field::blank(first.len(), classes, gap);
    let monitor = monitor(contract.fairness.metric, &first, blank)?;
    Ok(Extras { contract: contract.text.clone(), certificate: Some(certificate), monitor })
}

/// What the file carries after the verdict, and after the field's reference was measured on the same rows.
///
/// # Errors
/// When the monitor cannot be configured for so many groups.
pub fn extras(
    contract: &Contract,
    v: &Verdict,
    data_hash: [u32; 2],
    dense_cost: Cost,
    unproven: bool,
    measured: &Measured,
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
    // Of a group without rows nothing was certified, so there is nothing to watch.
    let watched = |g: &&GroupVerdict| Some(&g.entry) == contract.fairness.groups.first() && g.rows > 0;
    let first: Vec<&GroupVerdict> = v.groups.iter().filter(watched).collect();
    let floors: Vec<_> = first.iter().map(|g| (g.group.clone(), floor(contract, g))).collect();
    let field = |gap| {
        let tolerance = |g: &GroupVerdict| plan::tolerance(tolerance(contract, &first, g)).unwrap_or(u32::MAX);
        let groups: Vec<_> = first.iter().map(|g| (g.group.clone(), tolerance(g))).collect();
        measured.field(&groups, gap)
    };
    let monitor = monitor(v.metric, &floors, field)?;
    Ok(Extras { contract: contract.text.clone(), certificate: Some(certificate), monitor })
}

/// What a group's accuracy must not fall below in the field: the certificate's bound less the tolerance, or what the
/// contract promises of every group if that is more.
fn floor(contract: &Contract, g: &GroupVerdict) -> f64 {
    let promised = contract.fairness.min_metric.unwrap_or(0.0);
    (g.int8_interval[0] - TOLERANCE).max(promised).clamp(FLOORS[0], FLOORS[1])
}

/// Groups whose floor is so far under what was measured that the monitor would sleep through a loss that anybody would
/// call one, in words.
pub fn weak_floors(contract: &Contract, v: &Verdict) -> Vec<String> {
    let watched = v.groups.iter().filter(|g| Some(&g.entry) == contract.fairness.groups.first());
    let weak = watched.filter(|_| v.metric == Metric::Accuracy).filter_map(|g| {
        let (measured, floor) = (g.int8?, floor(contract, g));
        (measured - floor > WEAK).then(|| {
            format!(
                "The monitor will notice a loss of {} only below {:.0} % (measured: {:.0} %): these test rows prove no \
                 more. `min_metric` in the contract sets a floor of its own; more test people raise the proven one.",
                g.group,
                100.0 * floor,
                100.0 * measured
            )
        })
    });
    weak.collect()
}

/// How far a group may be behind all others in the field: what the contract allows between any two, or else what the
/// verdict could not rule out and a tolerance beside.
fn tolerance(contract: &Contract, groups: &[&GroupVerdict], of: &GroupVerdict) -> f64 {
    if let Some(gap) = contract.fairness.max_gap {
        return gap.max(TOLERANCE);
    }
    let others = groups.iter().filter(|g| g.group != of.group);
    let (right, n) =
        others.fold((0.0, 0.0), |(right, n), g| (right + g.int8.unwrap_or(0.0) * g.n as f64, n + g.n as f64));
    let behind = if n > 0.0 { right / n - of.int8_interval[0] } else { 0.0 };
    behind.max(0.0) + TOLERANCE
}

/// Floors and the field for the groups of the contract's first entry. Its groups partition the people, so every labelled
/// event feeds exactly one floor detector, which is what the run length of all of them together rests on. Only accuracy
/// is a share of labelled events; contracts on other metrics get no monitor yet.
fn monitor(
    metric: Metric,
    floors: &[(String, f64)],
    field: impl FnOnce((u32, u32)) -> Field,
) -> Result<Option<MonitorPlan>> {
    if metric != Metric::Accuracy {
        return Ok(None);
    }
    let head = plan::head(floors.len(), RUN_LENGTH, FRACTION).context("monitor")?;
    let gap = plan::gap(floors.len(), RUN_LENGTH, FRACTION).context("monitor")?;
    let floors = floors.iter().map(|(name, p0)| {
        let r = plan::floor_record(NameRef::default(), *p0);
        Floor { name: name.clone(), floor: r.floor, correct: r.correct, wrong: r.wrong }
    });
    let floors = floors.collect();
    Ok(Some(MonitorPlan { threshold: head.threshold, q: head.q, floors, field: Some(field(gap)) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain;
    use crate::data::{Column, parse_groups};
    use crate::fair::verdict::sample_verdict;
    use crate::lower::{Target, lower};
    use crate::quant::testing::quantised;
    use evenkeel_runtime::Model;
    use evenkeel_runtime::Session;
    use evenkeel_runtime::monitor::{Config, Gap, Monitor, Source, self_test, words};

    fn contract(metric: &str) -> Contract {
        Contract::parse(&format!(
            "[fairness]\ngroups = [\"sex\", \"band\"]\nmax_excess_drop = 0.1\nmetric = \"{metric}\"\n"
        ))
        .unwrap()
    }

    /// 300 rows of class 0 with two columns, for a network that takes so many values.
    fn rows(width: usize) -> Rows {
        let column = |values: &[&str], by: usize| Column {
            values: values.iter().map(|v| v.to_string()).collect(),
            codes: (0..300).map(|i| (i / by % values.len()) as u32).collect(),
        };
        let columns = [("sex".to_owned(), column(&["f", "m"], 1)), ("band".to_owned(), column(&["old", "young"], 2))];
        let x = (0..300 * width).map(|i| (i * 37 % 256) as f32 / 128.0 - 1.0).collect();
        Rows { sample: vec![width], x, y: vec![0; 300], classes: 2, columns: columns.into() }
    }

    /// Extras before and after a verdict on rows of which every tenth gets worse.
    fn both(metric: &str) -> (Extras, Extras, Verdict) {
        let (graph, q, _) = quantised(4);
        let (contract, rows) = (contract(metric), rows(graph.input_shape().len()));
        let set = parse_groups(&rows, &contract.fairness.groups).unwrap();
        let of = |entry: usize| set.of_entry(entry).into_iter().map(|g| set.groups[g].clone()).collect::<Vec<_>>();
        let small = (0..300).map(|i| usize::from(i % 10 == 0)).collect();
        let v = sample_verdict(&contract, vec![("sex", of(0)), ("band", of(1))], vec![0; 300], small);
        let cost = Cost { macs: 5, flash: 6, ram: 7 };
        let blank = blank(&contract, &set, graph.output_shape().len()).unwrap();
        let bytes = lower(&q, &blank, Target::Portable).unwrap().bytes;
        let model = Model::from_bytes(&bytes).unwrap();
        let raw = chain::int8_outputs(&model, &rows.x, rows.width()).unwrap();
        let measured = Measured::of(&model, &contract.fairness, &rows, &rows, (&[0; 300], &raw)).unwrap();
        let real = extras(&contract, &v, fingerprint(&rows, &contract.fairness), cost, true, &measured).unwrap();
        (blank, real, v)
    }

    #[test]
    fn the_verdict_does_not_move_a_byte() {
        for metric in ["accuracy", "recall:0"] {
            let (before, after, _) = both(metric);
            let (_, q, _) = quantised(4);
            let (before, after) =
                (lower(&q, &before, Target::Portable).unwrap(), lower(&q, &after, Target::Portable).unwrap());
            assert_eq!(before.cost(), after.cost(), "{metric}");
            assert_ne!(before.bytes, after.bytes);
        }
    }

    #[test]
    fn the_file_carries_the_verdict_and_a_sound_monitor() {
        let (_, after, v) = both("accuracy");
        let (_, q, _) = quantised(4);
        let bytes = lower(&q, &after, Target::Portable).unwrap().bytes;
        let model = Model::from_bytes(&bytes).unwrap();
        let (head, groups) = model.certificate().unwrap();
        assert_eq!((head.verdict, head.unproven, head.n), (outcome_code(v.verdict), 1, 300));
        for (written, judged) in groups.iter().zip(&v.groups) {
            assert_eq!((model.name(written.name), written.n as usize), (judged.group.as_str(), judged.n));
            assert_eq!(Some(written.int8), judged.int8.map(|x| x as f32));
        }
        // Only the groups of the first entry are watched, each by its certified bound less the tolerance.
        let (_, floors) = model.monitor().unwrap();
        assert_eq!(floors.iter().map(|f| model.name(f.name)).collect::<Vec<_>>(), ["sex=f", "sex=m"]);
        let mut state = [0; words::<Gap>(2, 0)];
        let mut monitor = Monitor::<Gap>::new(Config::of(&model).unwrap().unwrap(), &mut state, 0).unwrap();
        let mut count = |group, correct| monitor.count(Some(group), correct, Source::Reference).unwrap();
        let alarm = (0..1000).map(|_| count(1, false)).find(|r| r.any()).unwrap();
        assert_eq!((alarm.floor, alarm.gap), (2, 0), "nobody is there to compare with");
        assert!((0..1000).all(|i| count(0, i % 10 != 0).floor == 0));
    }

    #[test]
    fn the_field_is_measured_on_the_bytes_that_ship() {
        let (_, after, v) = both("accuracy");
        let (_, q, _) = quantised(4);
        let bytes = lower(&q, &after, Target::Portable).unwrap().bytes;
        let model = Model::from_bytes(&bytes).unwrap();
        let field = model.field().unwrap();
        let mut arena = chain::arena(&model);
        let mut session = Session::new(&model, bytemuck::cast_slice_mut(&mut arena)).unwrap();
        assert_eq!(self_test::run(&model, &mut session), Ok(self_test::INPUTS));
        assert!(field.groups.len() == 2 && field.head.edges.is_sorted());
        for (group, judged) in field.groups.iter().zip(&v.groups) {
            // Rounded down bin by bin.
            let sum: u32 = group.histogram.iter().map(|&h| u32::from(h)).sum();
            assert!((65536 - 16..=65536).contains(&sum) && group.map.is_sorted(), "{group:?}");
            assert!(group.confidence[0] < group.confidence[1]);
            let tolerance = f64::from(group.tolerance) / f64::from(1 << 26);
            assert!((TOLERANCE..1.0 / 3.0).contains(&tolerance), "{}: {tolerance}", judged.group);
        }
        let k = field.head.classes as usize;
        assert_eq!(field.confusion.len(), 2 * k * k);
        for row in field.confusion.chunks(k.max(1)) {
            let sum: u32 = row.iter().map(|&p| u32::from(p)).sum();
            assert!(sum == 0 || sum > 65536 - 16, "{row:?}");
        }
    }

    #[test]
    fn a_floor_that_sleeps_is_told_of_and_a_promise_lifts_it() {
        let mut contract = contract("accuracy");
        let (_, _, mut v) = both("accuracy");
        assert_eq!(weak_floors(&contract, &v), [""; 0]);
        v.groups[0].int8_interval[0] = 0.3;
        let weak = weak_floors(&contract, &v);
        assert!(weak.len() == 1 && weak[0].contains("sex=f") && weak[0].contains("28 %"), "{weak:?}");
        contract.fairness.min_metric = Some(0.85);
        assert_eq!(weak_floors(&contract, &v), [""; 0]);
    }

    #[test]
    fn other_metrics_have_no_monitor() {
        let (before, after, _) = both("recall:0");
        assert_eq!((before.monitor, after.monitor), (None, None));
    }

    #[test]
    fn other_rows_have_another_fingerprint() {
        let contract = Contract::parse("[fairness]\ngroups = [\"sex\"]\nmax_excess_drop = 0.02").unwrap();
        let of = |r: &Rows| fingerprint(r, &contract.fairness);
        let mut r = rows(1);
        let mut seen = vec![of(&r)];
        r.y[7] = 1;
        seen.push(of(&r));
        r.x[0] = 0.25;
        seen.push(of(&r));
        // Two people change their groups: as many are in each.
        let sex = r.columns.get_mut("sex").unwrap();
        let other = sex.codes.iter().position(|c| *c != sex.codes[0]).unwrap();
        sex.codes.swap(0, other);
        seen.push(of(&r));
        assert!(seen.iter().enumerate().all(|(i, a)| !seen[..i].contains(a)), "{seen:?}");
        // What the contract does not name does not count.
        r.columns.get_mut("band").unwrap().codes.reverse();
        assert_eq!(of(&r), seen[3]);
    }
}
