//! Configurations of monitors that are simulated, made by the same functions that make those in files.

use evenkeel_runtime::Error;
use evenkeel_runtime::format::{Field, FieldGroup, FieldHead, FloorRecord, MonitorHead, NameRef};
use evenkeel_runtime::monitor::counts::Logarithms;
use evenkeel_runtime::monitor::{Config, Monitor, ONE_Q26, Profile, plan, words};

/// Switches the gap detector of a group off.
pub const NO_GAP: u32 = u32::MAX;

/// Floors, tolerances and thresholds of a monitor.
#[derive(Clone, Debug)]
pub struct Setup {
    head: MonitorHead,
    floors: Vec<FloorRecord>,
    field: Option<(FieldHead, Vec<FieldGroup>)>,
}

impl Setup {
    /// A monitor of these floors, whose floor detectors ring falsely once in `arl` events.
    pub fn floors(floors: &[f64], arl: f64) -> Result<Self, Error> {
        let head = plan::head(floors.len(), arl, 8)?;
        let floors = floors.iter().map(|&p0| plan::floor_record(NameRef::default(), p0)).collect();
        Ok(Setup { head, floors, field: None })
    }

    /// With gap detectors: tolerances in Q26, threshold and fractional bits as [`plan::gap`] gives them.
    pub fn gaps(self, tolerances: &[u32], (gap_threshold, gap_q): (u32, u32)) -> Self {
        let head = FieldHead { groups: tolerances.len() as u32, gap_threshold, gap_q, ..Default::default() };
        let group = |&tolerance| FieldGroup { tolerance, confidence: [0, ONE_Q26], ..Default::default() };
        Setup { field: Some((head, tolerances.iter().map(group).collect())), ..self }
    }

    /// Memory of a monitor with so many places for late labels.
    pub fn memory<P>(&self, slots: usize) -> Vec<u32> {
        vec![0; words::<P>(self.floors.len(), slots)]
    }

    /// The monitor on zeroed memory of [`Setup::memory`].
    pub fn monitor<'a, P: Profile>(&'a self, state: &'a mut [u32], slots: usize) -> Result<Monitor<'a, 'a, P>, Error> {
        let field = self.field.as_ref().map(|(head, groups)| Field { head, groups, confusion: &[] });
        Monitor::new(Config::new(&self.head, &self.floors, field)?, state, slots)
    }

    /// The logarithms of each floor, for evidence from counts.
    pub fn logarithms(&self) -> Vec<Logarithms> {
        self.floors.iter().map(plan::logarithms).collect()
    }
}
