//! The terms that field data are judged by, as the host keeps them: floors, tolerances, bins, all from one `.keel` file.
//!
//! What a device was told is in its snapshots as a hash. [`Terms::fits`] says whether these are the terms it counted under.

use evenkeel_runtime::format::{FieldGroup, FieldHead, FloorRecord, GRID, MonitorHead};
use evenkeel_runtime::monitor::state::BETS;
use evenkeel_runtime::monitor::{Config, MAX_GROUPS, ONE_Q26};
use evenkeel_runtime::{Error, Model};

use crate::snapshot::Snapshot;

/// One group's terms.
#[derive(Clone, Debug)]
pub struct Group {
    /// For example `gender=female`.
    pub name: String,
    /// Floor and ratios.
    pub floor: FloorRecord,
    /// What the verdict's rows say beside the floor, where the file states it.
    pub field: Option<FieldGroup>,
    /// The certified accuracy of the bytes on the device, where the file has it.
    pub certified: Option<f64>,
}

impl Group {
    /// The floor as a share.
    pub fn floor(&self) -> f64 {
        self.floor.floor as f64 / ONE_Q26 as f64
    }

    /// The tolerance of the gap detector as a share; `None` where it is off.
    pub fn tolerance(&self) -> Option<f64> {
        self.field.filter(|f| f.tolerance != u32::MAX).map(|f| f.tolerance as f64 / ONE_Q26 as f64)
    }
}

/// All terms of a monitor.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Groups, thresholds.
    pub head: MonitorHead,
    /// The gap detector's threshold, bins of confidence; where the file states them.
    pub field: Option<FieldHead>,
    /// In the order of the cells.
    pub groups: Vec<Group>,
    /// Checksum of the model, see [`Common::model`](evenkeel_runtime::monitor::Common::model).
    pub model: u32,
    /// Hash of the configuration.
    pub config: u32,
}

impl Terms {
    /// The terms in a file; none where it was made without a contract.
    ///
    /// # Errors
    /// Those of [`Config::of`].
    pub fn of(model: &Model) -> Result<Option<Self>, evenkeel_runtime::Error> {
        let (Some(config), Some((head, floors))) = (Config::of(model)?, model.monitor()) else { return Ok(None) };
        let field = model.field();
        let certificate = model.certificate().map_or(&[][..], |(_, groups)| groups);
        let group = |(i, floor): (usize, &FloorRecord)| {
            let name = model.name(floor.name).to_owned();
            let certified = certificate.iter().find(|g| model.name(g.name) == name).map(|g| g.int8 as f64);
            let field = field.as_ref().and_then(|f| f.groups.get(i)).copied();
            Group { name, floor: *floor, field, certified }
        };
        Ok(Some(Terms {
            head: *head,
            field: field.as_ref().map(|f| *f.head),
            groups: floors.iter().enumerate().map(group).collect(),
            model: config.model,
            config: config.hash,
        }))
    }

    /// Terms that are not from a file.
    ///
    /// # Errors
    /// When they are not sound, as [`Config::new`].
    pub fn new(
        head: MonitorHead,
        floors: &[FloorRecord],
        field: Option<(FieldHead, &[FieldGroup])>,
    ) -> Result<Self, Error> {
        let parts =
            field.as_ref().map(|(head, groups)| evenkeel_runtime::format::Field { head, groups, confusion: &[] });
        let config = Config::new(&head, floors, parts)?;
        let group = |(i, floor): (usize, &FloorRecord)| Group {
            name: format!("group {i}"),
            floor: *floor,
            field: field.and_then(|(_, groups)| groups.get(i)).copied(),
            certified: None,
        };
        let groups = floors.iter().enumerate().map(group).collect();
        Ok(Terms { head, field: field.map(|f| f.0), groups, model: config.model, config: config.hash })
    }

    /// Whether the snapshot was counted under these terms. Files of one network that are packed for several targets have
    /// one hash of the configuration, so devices of several kinds fit.
    ///
    /// # Errors
    /// What differs, in words.
    pub fn fits(&self, snapshot: &Snapshot) -> Result<(), &'static str> {
        if snapshot.common.config != self.config || snapshot.cells.len() != self.groups.len() {
            return Err("it was counted under another configuration: give the .keel file that the device runs");
        }
        Ok(())
    }

    /// The average number of labelled events, all groups together, between two false floor alarms of one device.
    pub fn floor_run_length(&self) -> f64 {
        self.head.threshold as f64 / (GRID as f64 * 2f64.powi(self.head.q as i32))
    }

    /// As [`Terms::floor_run_length`], of gap alarms: each event feeds the detectors of all groups.
    pub fn gap_run_length(&self) -> Option<f64> {
        let field = self.field.as_ref()?;
        let groups = self.groups.len().clamp(1, MAX_GROUPS) as f64;
        Some(field.gap_threshold as f64 / (BETS as f64 * 2f64.powi(field.gap_q as i32) * groups))
    }
}
