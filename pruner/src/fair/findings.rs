//! What stands out among groups: the one that is served worst, and a gap that closed because everybody lost.

use super::metrics::sign;
use super::verdict::{EntryGap, GroupVerdict, LevelledDown, WorstGroup};
use crate::contract::Metric;

impl WorstGroup {
    /// Of these groups, where one has rows.
    pub(super) fn of(groups: &[GroupVerdict], metric: Metric) -> Option<Self> {
        let good = |g: &GroupVerdict| g.int8.map(|v| sign(metric) * v);
        let worst = groups
            .iter()
            .filter(|g| g.int8.is_some())
            .min_by(|a, b| good(a).unwrap_or(f64::INFINITY).total_cmp(&good(b).unwrap_or(f64::INFINITY)))?;
        Some(WorstGroup { group: worst.group.clone(), int8: worst.int8?, dense: worst.dense? })
    }
}

impl LevelledDown {
    /// Of these groups and gaps.
    pub(super) fn of(groups: &[GroupVerdict], gaps: &[EntryGap]) -> Self {
        let worse = |g: &GroupVerdict| g.n == 0 || g.drop.lower.is_some_and(|l| l > 0.0);
        let entries: Vec<String> = gaps
            .iter()
            .filter(|e| e.int8 < e.dense && groups.iter().filter(|g| g.entry == e.entry).all(worse))
            .map(|e| e.entry.clone())
            .collect();
        let text = if entries.is_empty() {
            "No levelling down: no gap got smaller while every group got worse beyond noise.".to_owned()
        } else {
            format!(
                "Levelled down by {}: the gap got smaller, but every group got worse beyond noise; that is no gain in fairness.",
                entries.join(", ")
            )
        };
        LevelledDown { value: !entries.is_empty(), entries, text }
    }
}
