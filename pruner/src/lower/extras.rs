//! What a file carries beside the network: contract, certificate, monitor. Names are strings here.

use super::Cost;
use crate::field::Field;
use evenkeel_runtime::format::{CertificateGroup, CertificateHead, FloorRecord, GRID, MonitorHead, Names};

/// Everything beside the network; by default nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extras {
    /// The contract as the user wrote it; empty for none.
    pub contract: String,
    /// What the verdict measured.
    pub certificate: Option<Certificate>,
    /// What the device watches.
    pub monitor: Option<MonitorPlan>,
}

/// See [`CertificateHead`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Certificate {
    /// One of [`evenkeel_runtime::format::verdict`].
    pub verdict: u32,
    /// Whether the user exported in spite of the verdict.
    pub unproven: bool,
    /// Confidence of the bounds.
    pub confidence: f32,
    /// Rows of the verdict split.
    pub n: u32,
    /// Metric of the dense model over all rows.
    pub dense: f32,
    /// Metric of the pruned model in f32.
    pub pruned: f32,
    /// Metric of the int8 model.
    pub int8: f32,
    /// Fingerprint of the rows of the verdict.
    pub data_hash: [u32; 2],
    /// Cost of the dense model.
    pub dense_cost: Cost,
    /// The groups of people.
    pub groups: Vec<GroupCertificate>,
}

/// See [`CertificateGroup`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupCertificate {
    /// For example `gender=female`.
    pub name: String,
    /// Rows.
    pub n: u32,
    /// Clusters (rows where the contract names none).
    pub clusters: u32,
    /// Metric of the dense model.
    pub dense: f32,
    /// Metric of the pruned model in f32.
    pub pruned: f32,
    /// Metric of the int8 model.
    pub int8: f32,
    /// Lower confidence bound of `int8`.
    pub int8_lower: f32,
    /// Excess drop.
    pub excess_drop: f32,
    /// Upper bound of the excess drop (infinite when there is none).
    pub excess_drop_upper: f32,
    /// One of [`evenkeel_runtime::format::verdict`].
    pub verdict: u32,
}

/// See [`MonitorHead`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MonitorPlan {
    /// Evidence at which a group alarms.
    pub threshold: u32,
    /// Fractional bits of the evidence.
    pub q: u32,
    /// The floors, one per group.
    pub floors: Vec<Floor>,
    /// What the field is compared with; `None` where the file states nothing of it.
    pub field: Option<Field>,
}

/// See [`FloorRecord`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Floor {
    /// For example `gender=female`.
    pub name: String,
    /// The floor in Q26.
    pub floor: u32,
    /// Likelihood ratios of a correct prediction, Q26.
    pub correct: [u32; GRID],
    /// Likelihood ratios of a wrong prediction, Q26.
    pub wrong: [u32; GRID],
}

impl Certificate {
    pub(super) fn records(&self, names: &mut Names) -> (CertificateHead, Vec<CertificateGroup>) {
        let groups = self.groups.iter().map(|g| CertificateGroup {
            name: names.add(&g.name),
            n: g.n,
            clusters: g.clusters,
            dense: g.dense,
            pruned: g.pruned,
            int8: g.int8,
            int8_lower: g.int8_lower,
            excess_drop: g.excess_drop,
            excess_drop_upper: g.excess_drop_upper,
            verdict: g.verdict,
        });
        let groups: Vec<_> = groups.collect();
        let dense = &self.dense_cost;
        let head = CertificateHead {
            verdict: self.verdict,
            unproven: self.unproven.into(),
            confidence: self.confidence,
            n: self.n,
            dense: self.dense,
            pruned: self.pruned,
            int8: self.int8,
            groups: groups.len() as u32,
            data_hash: self.data_hash,
            dense_cost: [dense.macs as u32, (dense.macs >> 32) as u32, dense.flash as u32, dense.ram as u32],
        };
        (head, groups)
    }
}

impl MonitorPlan {
    pub(super) fn records(&self, names: &mut Names) -> (MonitorHead, Vec<FloorRecord>) {
        let floors = self.floors.iter().map(|f| FloorRecord {
            name: names.add(&f.name),
            floor: f.floor,
            correct: f.correct,
            wrong: f.wrong,
        });
        let floors: Vec<_> = floors.collect();
        (MonitorHead { groups: floors.len() as u32, threshold: self.threshold, q: self.q, reserved: 0 }, floors)
    }
}
