//! The monitor: its guarantee's premise in exact arithmetic, its integers against exact and real numbers, its alarms, late
//! labels and episodes.

mod alarms;
mod counts;
mod episodes;
mod exact;
mod floor;
mod gap;
mod premise;
mod ring;
mod saturation;

use evenkeel_runtime::format::{Field, FieldGroup, FieldHead, FloorRecord, MonitorHead, NameRef};
use evenkeel_runtime::monitor::{Config, Monitor, ONE_Q26, Profile, plan};

/// Steps of long runs. An interpreter only shows that nothing is undefined.
const STEPS: usize = if cfg!(miri) { 200 } else { 1_000_000 };
/// Cases of a property.
const CASES: u32 = if cfg!(miri) { 6 } else { 2000 };

/// A stream of numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Below `n`.
    fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }
}

/// The record of a floor, without a name.
fn floor_of(p0: f64) -> FloorRecord {
    plan::floor_record(NameRef::default(), p0)
}

/// A plan for groups with the same floor and tolerance, that alarms soon.
struct Plan {
    head: MonitorHead,
    floors: Vec<FloorRecord>,
    field: FieldHead,
    groups: Vec<FieldGroup>,
}

impl Plan {
    fn new(groups: usize, p0: f64, tolerance: f64, arl: f64) -> Self {
        let (gap_threshold, gap_q) = plan::gap(groups, arl, 8).expect("fits");
        let tolerance = plan::tolerance(tolerance).expect("small");
        let mut edges = [0; 16];
        edges.iter_mut().enumerate().for_each(|(i, edge)| *edge = 16 * i as u8);
        let of = FieldGroup { tolerance, confidence: [0, ONE_Q26], map: [255; 16], ..Default::default() };
        Plan {
            head: plan::head(groups, arl, 8).expect("fits"),
            floors: vec![floor_of(p0); groups],
            field: FieldHead { groups: groups as u32, gap_threshold, gap_q, edges, ..Default::default() },
            groups: vec![of; groups],
        }
    }

    fn config(&self) -> Config<'_> {
        let field = Field { head: &self.field, groups: &self.groups, confusion: &[] };
        Config::new(&self.head, &self.floors, Some(field)).expect("sound")
    }

    /// A monitor on a zeroed or used state.
    fn monitor<'a, P: Profile>(&'a self, state: &'a mut [u32], slots: usize) -> Monitor<'a, 'a, P> {
        Monitor::new(self.config(), state, slots).expect("a state of this length")
    }
}
