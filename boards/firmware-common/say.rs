//! What the log says of a monitor.

use defmt::{info, warn};
use evenkeel_runtime::Model;
use evenkeel_runtime::monitor::state::Counts;
use evenkeel_runtime::monitor::{Full, Kind, Monitor};

/// A line for an alarm that an event raised, with the group's figures at that event.
pub fn alarm(model: &Model, monitor: &Monitor<Full>, kind: Kind, group: usize) {
    let Counts { n, correct } = monitor.cells()[group].counts;
    let events = monitor.common().events;
    warn!(
        "alarm: group {=str} is {=str}, {=u32} of {=u32} correct (event {=u32})",
        name(model, group),
        kind.words(),
        correct,
        n,
        events
    );
}

/// A line for what the monitor knows of a group.
pub fn state(model: &Model, monitor: &Monitor<Full>, group: usize) {
    let Full { counts, traffic, .. } = &monitor.cells()[group];
    let rung = |words: [u32; 2]| words[group / 32] >> (group % 32) & 1 != 0;
    let common = monitor.common();
    info!(
        "group {=str}: {=u32} of {=u32} correct, {=u32} predictions, {=u32} without label, floor alarm {=bool}, gap alarm {=bool}",
        name(model, group),
        counts.correct,
        counts.n,
        traffic.predictions(),
        traffic.expired,
        rung(common.floor_alarms),
        rung(common.gap_alarms)
    );
}

fn name<'m>(model: &Model<'m>, group: usize) -> &'m str {
    let floor = model.monitor().and_then(|(_, floors)| floors.get(group));
    floor.map_or("", |floor| model.name(floor.name))
}
