//! Bytes as what a snapshot says: refused, or what a monitor can hold, written again as the same bytes, and collected,
//! replayed and merged without a panic.
//!
//! The bytes are cut into contents at the places that the first one names, so that several are one device's history.
#![no_main]

use evenkeel_monitor::collect::{Collection, audit};
use evenkeel_monitor::merge::{Limits, merge};
use evenkeel_monitor::message;
use evenkeel_monitor::replay::replay;
use evenkeel_monitor::snapshot::{Header, Snapshot};
use evenkeel_monitor::terms::Terms;
use evenkeel_runtime::format::{FieldGroup, FieldHead, NameRef};
use evenkeel_runtime::monitor::plan;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&first, bytes)) = data.split_first() else { return };
    for piece in message::split(bytes) {
        let _ = message::open(piece, &message::Keys::Unchecked);
    }
    let mut snapshots = Vec::new();
    for (i, piece) in bytes.chunks(bytes.len().div_ceil(usize::from(first % 4) + 1).max(1)).enumerate() {
        let header = Header { device: 1, incarnation: 1, boot: 0, seq: i as u32 + 1 };
        let Ok(snapshot) = Snapshot::parse(header, piece) else { continue };
        assert_eq!(snapshot.to_bytes().expect("it was parsed"), piece);
        snapshots.push(snapshot);
    }
    let Some(newest) = snapshots.last() else { return };
    let mut terms = terms(newest.cells.len());
    terms.config = newest.common.config;
    let fleet: Collection = snapshots.iter().cloned().collect();
    let none = Limits { devices: 0, labels: 0 };
    for limits in [Limits::default(), none] {
        let merged = merge(fleet.latest().map(|(_, s)| s), &terms, &limits);
        assert!(merged.rows.iter().all(|r| r.counts.correct <= r.counts.n));
    }
    for history in audit(snapshots) {
        if let Ok(found) = replay(&history, &terms) {
            assert!(found.evidence.iter().all(|e| e.share >= 0.0));
        }
    }
});

/// Terms of so many groups.
fn terms(groups: usize) -> Terms {
    let floors = vec![plan::floor_record(NameRef::default(), 0.85); groups];
    let (gap_threshold, gap_q) = plan::gap(groups, 1e4, 8).expect("it fits");
    let head = FieldHead { groups: groups as u32, gap_threshold, gap_q, ..FieldHead::default() };
    let own = FieldGroup {
        tolerance: plan::tolerance(0.02).expect("small"),
        agreement: 64_000_000,
        confidence: [50_000_000, 60_000_000],
        histogram: [4096; 16],
        map: core::array::from_fn(|i| 17 * i as u8),
    };
    let monitor = plan::head(groups, 1e4, 8).expect("it fits");
    Terms::new(monitor, &floors, Some((head, &vec![own; groups]))).expect("sound")
}
