//! Records of what a file promises of people: the certificate, and what its monitor tests and compares with.

use bytemuck::{Pod, Zeroable};

use super::NameRef;

/// Verdict codes of certificates.
pub mod verdict {
    /// No verdict was made (`evenkeel compile`).
    pub const NONE: u32 = 0;
    /// The contract holds at its confidence.
    pub const PASS: u32 = 1;
    /// The contract is broken at its confidence.
    pub const FAIL: u32 = 2;
    /// The data cannot tell.
    pub const UNDECIDED: u32 = 3;
}

/// The certificate: what the verdict measured on these bytes.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct CertificateHead {
    /// One of [`verdict`].
    pub verdict: u32,
    /// 1 when the user exported in spite of the verdict (`--allow-unproven`).
    pub unproven: u32,
    /// Confidence of the bounds.
    pub confidence: f32,
    /// Rows of the verdict split.
    pub n: u32,
    /// Metric of the dense model over all rows.
    pub dense: f32,
    /// Metric of the pruned model in f32.
    pub pruned: f32,
    /// Metric of these int8 bytes.
    pub int8: f32,
    /// Number of group records that follow.
    pub groups: u32,
    /// Fingerprint of the rows that the verdict was made on (inputs and labels), low word first.
    pub data_hash: [u32; 2],
    /// What the dense model costs, for budgets that are a share of it: MACs (low word, high word), bytes of its
    /// int8 file, bytes of its arena.
    pub dense_cost: [u32; 4],
}

/// One group of people in the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct CertificateGroup {
    /// For example `gender=female`.
    pub name: NameRef,
    /// Rows.
    pub n: u32,
    /// Clusters (rows where the contract names none).
    pub clusters: u32,
    /// Metric of the dense model.
    pub dense: f32,
    /// Metric of the pruned model in f32.
    pub pruned: f32,
    /// Metric of these int8 bytes.
    pub int8: f32,
    /// Lower confidence bound of `int8`, simultaneous over groups.
    pub int8_lower: f32,
    /// Excess drop.
    pub excess_drop: f32,
    /// Upper bound of the excess drop (infinite when there is none).
    pub excess_drop_upper: f32,
    /// One of [`verdict`].
    pub verdict: u32,
}

/// Configuration of the device monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct MonitorHead {
    /// Number of [`FloorRecord`] that follow.
    pub groups: u32,
    /// Alarm when the sum of a group's evidence reaches this: A * J * 2^q (see [`crate::monitor`]).
    pub threshold: u32,
    /// Fractional bits of the evidence, 1..=16.
    pub q: u32,
    /// Zero.
    pub reserved: u32,
}

/// Number of alternatives in the grid of the floor detector.
pub const GRID: usize = 6;

/// The floor detector of one group: likelihood ratios in Q26, rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct FloorRecord {
    /// For example `gender=female`.
    pub name: NameRef,
    /// The floor p0 in Q26, rounded down: the certified accuracy's lower bound less the tolerance.
    pub floor: u32,
    /// `p_j / p0` for a correct prediction.
    pub correct: [u32; GRID],
    /// `(1 - p_j) / (1 - p0)` for a wrong one.
    pub wrong: [u32; GRID],
}

/// Bins of confidence.
pub const BINS: usize = 16;

/// What the monitor needs beside floors: the gap detector, bins of confidence, the self-test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct FieldHead {
    /// Number of [`FieldGroup`] that follow: the monitor's groups in their order.
    pub groups: u32,
    /// Alarm when the sum of a group's evidence of a gap reaches this: A * groups * J * 2^gap_q.
    pub gap_threshold: u32,
    /// Fractional bits of that evidence, 1..=16.
    pub gap_q: u32,
    /// Classes of the confusion matrices, which follow the groups: `classes * classes` u16 each (row: true class,
    /// column: predicted class, shares of the row in Q16 rounded down, at most 65535); 0 for none.
    pub classes: u32,
    /// Inputs of the self-test; 0 for none. See [`crate::monitor::self_test`].
    pub test_inputs: u32,
    /// The checksum of the outputs on them.
    pub test_crc: u32,
    /// Lower edge of each bin of confidence, ascending from 0: see [`crate::monitor::Prediction::margin`].
    pub edges: [u8; BINS],
    /// Zero.
    pub reserved: u32,
}

/// What the verdict's rows say of a group beside its floor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct FieldGroup {
    /// How far the group may be behind all others before the gap detector collects evidence, Q26; `u32::MAX` switches
    /// it off.
    pub tolerance: u32,
    /// Lower bound, less a tolerance, of the share of rows on which this model agrees with the dense one, Q26; 0 where
    /// that is not known.
    pub agreement: u32,
    /// Bounds, widened by a tolerance, of the mean calibrated confidence, Q26.
    pub confidence: [u32; 2],
    /// Share of rows per bin of confidence, Q16 rounded down, at most 65535.
    pub histogram: [u16; BINS],
    /// Calibration map of this group: the share of right predictions in each bin, ascending; 255 for all.
    pub map: [u8; BINS],
}

/// The name of a code of [`verdict`].
pub fn verdict_name(code: u32) -> &'static str {
    match code {
        verdict::PASS => "PASS",
        verdict::FAIL => "FAIL",
        verdict::UNDECIDED => "UNDECIDED",
        _ => "none",
    }
}
