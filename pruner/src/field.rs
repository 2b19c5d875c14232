//! What the monitor compares the field with, measured on the bytes that ship: how sure the model is, how often that is
//! right per group, how often it agrees with the dense model, and which classes it mistakes for which.
//!
//! Bins and calibration maps are fitted on selection rows; what is stated of them is measured on the verdict's rows.

use crate::certify::TOLERANCE;
use crate::chain;
use crate::contract::Fairness;
use crate::data::{GroupSet, Rows, cluster_codes, parse_groups};
use crate::error::{Context, Result};
use crate::fair::stats::t_quantile;
use evenkeel_runtime::format::{BINS, FieldGroup, FieldHead};
use evenkeel_runtime::monitor::{ONE_Q26, Prediction, self_test};
use evenkeel_runtime::{Model, Session};
use std::collections::BTreeMap;

/// Largest number of classes whose confusion matrices a file carries.
const CONFUSION_CLASSES: usize = 16;
/// What everybody's share of right predictions in a bin counts beside a group's own rows.
const PRIOR: f64 = 2.0;

/// What a file states about the field: the head, a record per group, confusion matrices.
pub type Field = (FieldHead, Vec<FieldGroup>, Vec<u16>);

/// Predictions of the int8 model on some rows, and the groups of the contract's first entry.
struct Seen {
    predictions: Vec<Prediction>,
    groups: GroupSet,
}

impl Seen {
    fn of(model: &Model, rows: &Rows, outputs: &[i8], fairness: &Fairness) -> Result<Self> {
        let predictions = outputs.chunks(model.output().elements().max(1)).map(Prediction::of_outputs).collect();
        Ok(Seen { predictions, groups: parse_groups(rows, &fairness.groups[..1])? })
    }

    /// The rows of a group; all of them for `None`.
    fn rows_of(&self, name: Option<&str>) -> Vec<usize> {
        let group = name.map(|name| self.groups.groups.iter().position(|g| g.name == name));
        let of_row = self.groups.of_row.iter().enumerate();
        let within = |row: &[u32]| group.is_none_or(|g| g.is_some_and(|g| row.first() == Some(&(g as u32))));
        of_row.filter(|(_, groups)| within(groups)).map(|(i, _)| i).collect()
    }
}

/// What selection and verdict rows say, before the groups' names are known.
pub struct Measured {
    select: Seen,
    select_y: Vec<usize>,
    verdict: Seen,
    verdict_y: Vec<usize>,
    agreed: Vec<bool>,
    clusters: Vec<u32>,
    level: f64,
    classes: usize,
    checksum: u32,
}

impl Measured {
    /// Runs the int8 model on selection rows. Of the verdict's rows there are the dense model's classes and the int8
    /// model's outputs.
    ///
    /// # Errors
    /// When rows do not fit the model or lack the contract's columns.
    pub fn of(
        model: &Model,
        fairness: &Fairness,
        select: &Rows,
        verdict: &Rows,
        (dense, int8): (&[usize], &[i8]),
    ) -> Result<Self> {
        let seen = Seen::of(model, verdict, int8, fairness)?;
        let agreed = seen.predictions.iter().zip(dense).map(|(p, &d)| usize::from(p.class) == d).collect();
        let packed = chain::packed_for_host(model)?;
        let here = &Model::from_bytes(packed.bytes()).context("packed for this host")?;
        let mut arena = chain::arena(here);
        let mut session = Session::new(here, bytemuck::cast_slice_mut(&mut arena)).context("session")?;
        // A bound on each side for every group and for each of the two shares.
        let level = (1.0 - fairness.confidence) / (4.0 * seen.groups.groups.len().max(1) as f64);
        Ok(Measured {
            select: Seen::of(model, select, &chain::int8_outputs(model, &select.x, select.width())?, fairness)?,
            select_y: select.y.clone(),
            agreed,
            clusters: cluster_codes(verdict, fairness.cluster.as_deref())?,
            verdict_y: verdict.y.clone(),
            verdict: seen,
            level,
            classes: model.output().elements(),
            checksum: self_test::checksum(&mut session, self_test::INPUTS),
        })
    }

    /// The records of these groups, in the monitor's order, with gap tolerances that the verdict gave.
    pub fn field(&self, groups: &[(String, u32)], gap: (u32, u32)) -> Field {
        let edges = self.edges();
        let everybody = self.shares_right(None, &edges, &[0.5; BINS]);
        let classes = if self.classes <= CONFUSION_CLASSES { self.classes } else { 0 };
        let mut confusion = Vec::new();
        let records = groups.iter().map(|(name, tolerance)| {
            let rows = self.verdict.rows_of(Some(name));
            let map = self.shares_right(Some(name), &edges, &everybody).map(|share| (share * 255.0).round() as u8);
            let bin = |i: usize| self.verdict.predictions[i].bin(&edges);
            let mut histogram = [0u32; BINS];
            rows.iter().for_each(|&i| histogram[bin(i)] += 1);
            let share = |n: u32| ((u64::from(n) << 16) / rows.len().max(1) as u64).min(65535) as u16;
            let agreement = self.bounds(&rows, |i| f64::from(u8::from(self.agreed[i])));
            let confidence = self.bounds(&rows, |i| f64::from(map[bin(i)]) / 255.0);
            if classes > 0 {
                confusion.extend(self.confusion(&rows));
            }
            FieldGroup {
                tolerance: *tolerance,
                agreement: q26(agreement[0] - TOLERANCE),
                confidence: [q26(confidence[0] - TOLERANCE), q26(confidence[1] + TOLERANCE)],
                histogram: histogram.map(share),
                map,
            }
        });
        let records: Vec<_> = records.collect();
        let head = FieldHead {
            groups: records.len() as u32,
            gap_threshold: gap.0,
            gap_q: gap.1,
            classes: classes as u32,
            test_inputs: self_test::INPUTS,
            test_crc: self.checksum,
            edges,
            reserved: 0,
        };
        (head, records, confusion)
    }

    /// Edges that spread the selection rows evenly over the bins.
    fn edges(&self) -> [u8; BINS] {
        let mut margins: Vec<u8> = self.select.predictions.iter().map(|p| p.margin).collect();
        margins.sort_unstable();
        let at = |b: usize| if b == 0 { 0 } else { margins.get(b * margins.len() / BINS).copied().unwrap_or(0) };
        std::array::from_fn(at)
    }

    /// Per bin, the share of right predictions among a group's selection rows, drawn towards `prior` and made to ascend
    /// (isotonic regression by pooling adjacent violators).
    fn shares_right(&self, group: Option<&str>, edges: &[u8; BINS], prior: &[f64; BINS]) -> [f64; BINS] {
        let mut right = prior.map(|p| p * PRIOR);
        let mut n = [PRIOR; BINS];
        for i in self.select.rows_of(group) {
            let p = &self.select.predictions[i];
            n[p.bin(edges)] += 1.0;
            right[p.bin(edges)] += f64::from(u8::from(usize::from(p.class) == self.select_y[i]));
        }
        let mut pools: Vec<(f64, f64, usize)> = Vec::new();
        for (right, n) in right.into_iter().zip(n) {
            pools.push((right, n, 1));
            while let [.., a, b] = pools[..]
                && a.0 / a.1 > b.0 / b.1
            {
                pools.truncate(pools.len() - 2);
                pools.push((a.0 + b.0, a.1 + b.1, a.2 + b.2));
            }
        }
        let mut shares = pools.into_iter().flat_map(|(right, n, bins)| std::iter::repeat_n(right / n, bins));
        std::array::from_fn(|_| shares.next().unwrap_or(1.0))
    }

    /// Bounds of a mean over rows, on each side at this level, with the spread between clusters (linearised) and
    /// Student's t; 0 and 1 where there are fewer than two clusters.
    fn bounds(&self, rows: &[usize], value: impl Fn(usize) -> f64) -> [f64; 2] {
        let mut clusters: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
        for &i in rows {
            let (sum, n) = clusters.entry(self.clusters[i]).or_default();
            *sum += value(i);
            *n += 1.0;
        }
        let count = clusters.len() as f64;
        if count < 2.0 {
            return [0.0, 1.0];
        }
        let n = rows.len() as f64;
        let mean = clusters.values().map(|c| c.0).sum::<f64>() / n;
        let spread: f64 = clusters.values().map(|(sum, n)| (sum - mean * n).powi(2)).sum();
        let half = t_quantile(1.0 - self.level, count - 1.0) * (spread * count / (count - 1.0)).sqrt() / n;
        [mean - half, mean + half]
    }

    /// Shares of the predicted classes (columns) among rows of each true class (rows), Q16 rounded down.
    fn confusion(&self, rows: &[usize]) -> Vec<u16> {
        let k = self.classes;
        let mut counts = vec![0u64; k * k];
        let inside = |i: usize| (self.verdict_y[i], usize::from(self.verdict.predictions[i].class));
        for (y, class) in rows.iter().map(|&i| inside(i)).filter(|&(y, class)| y < k && class < k) {
            counts[y * k + class] += 1;
        }
        let of_row = |row: &[u64]| {
            let total = row.iter().sum::<u64>().max(1);
            row.iter().map(|&n| ((n << 16) / total).min(65535) as u16).collect::<Vec<_>>()
        };
        counts.chunks(k.max(1)).flat_map(of_row).collect()
    }
}

/// Records of as many bytes as those that the verdict will give, before there is one.
pub fn blank(groups: usize, classes: usize, gap: (u32, u32)) -> Field {
    let classes = if classes <= CONFUSION_CLASSES { classes } else { 0 };
    let head = FieldHead {
        groups: groups as u32,
        gap_threshold: gap.0,
        gap_q: gap.1,
        classes: classes as u32,
        ..FieldHead::default()
    };
    let record = FieldGroup { tolerance: u32::MAX, confidence: [0, ONE_Q26], ..FieldGroup::default() };
    (head, vec![record; groups], vec![0; groups * classes * classes])
}

fn q26(share: f64) -> u32 {
    (share.clamp(0.0, 1.0) * f64::from(ONE_Q26)) as u32
}
