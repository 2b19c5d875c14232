//! A snapshot's content as the host holds it, read from bytes that nobody has to trust.
//!
//! The layout is that of [`evenkeel_runtime::monitor::payload`]. A content is accepted when a device could have written
//! it: its numbers agree with each other ([`Snapshot::parse`] says which do not), and its bytes are the only ones that say
//! so. So two snapshots are equal when their bytes are.

use evenkeel_runtime::monitor::payload::VERSION;
use evenkeel_runtime::monitor::state::{Counts, FloorState, GapState, Traffic};
use evenkeel_runtime::monitor::{Alarm, Common, Core, Full, Gap, MAX_GROUPS, Profile};
use evenkeel_runtime::snapshot::Stamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a group's cell says; parts that the profile lacks are absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Labelled events.
    pub counts: Counts,
    /// Floor detector.
    pub floor: Option<FloorState>,
    /// Gap detector.
    pub gap: Option<GapState>,
    /// What is seen without labels.
    pub traffic: Option<Traffic>,
}

/// Who sends a snapshot, and which it is: what stands in its message beside the content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The device.
    pub device: u64,
    /// The life of its counters.
    pub incarnation: u32,
    /// Restarts.
    pub boot: u32,
    /// Ascends with every saved state.
    pub seq: u32,
}

impl Header {
    /// That of a message.
    pub fn of(message: &evenkeel_runtime::snapshot::Snapshot) -> Self {
        let Stamp { incarnation, boot, seq } = message.stamp;
        Header { device: message.identity.device, incarnation, boot, seq }
    }
}

/// The content of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Who sends it, and which it is.
    pub header: Header,
    /// What is kept beside the cells.
    pub common: Common,
    /// One per group.
    pub cells: Vec<Cell>,
}

/// Why bytes are no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// They end too soon, or a number is written in a way that postcard does not.
    #[error("cannot be read as a snapshot ({0}): it is cut, damaged, or something else")]
    Form(postcard::Error),
    /// Written by a newer device.
    #[error("has version {0}, this tool reads version {VERSION}: take a newer tool")]
    Version(u8),
    /// No such profile.
    #[error("has cells of profile {0}, which this tool does not know: take a newer tool")]
    Profile(u8),
    /// Bytes are left over.
    #[error("has {0} bytes behind its end")]
    Longer(usize),
    /// The same numbers would be written with other bytes.
    #[error("is not written as devices write it: a number takes more bytes than it needs")]
    Verbose,
    /// Its numbers contradict each other: no device counts so.
    #[error("is not plausible: {what}{}", .group.map(|g| format!(" (group {g})")).unwrap_or_default())]
    Implausible {
        /// What cannot be.
        what: &'static str,
        /// Index of the group that it is about.
        group: Option<usize>,
    },
}

impl Snapshot {
    /// Reads the content of a snapshot whose message says so of itself. It takes no more memory than a few times the length of `bytes`.
    ///
    /// # Errors
    /// When it has another form or version, or says what no monitor can hold.
    pub fn parse(header: Header, bytes: &[u8]) -> Result<Self, SnapshotError> {
        let ((version, common), rest) =
            postcard::take_from_bytes::<(u8, Common)>(bytes).map_err(SnapshotError::Form)?;
        if version != VERSION {
            return Err(SnapshotError::Version(version));
        }
        let (cells, rest) = match common.profile {
            Core::CODE => cells::<Core>(rest)?,
            Alarm::CODE => cells::<Alarm>(rest)?,
            Gap::CODE => cells::<Gap>(rest)?,
            Full::CODE => cells::<Full>(rest)?,
            other => return Err(SnapshotError::Profile(other)),
        };
        if !rest.is_empty() {
            return Err(SnapshotError::Longer(rest.len()));
        }
        let snapshot = Snapshot { header, common, cells };
        snapshot.check()?;
        if snapshot.to_bytes().map_err(SnapshotError::Form)? != bytes {
            return Err(SnapshotError::Verbose);
        }
        Ok(snapshot)
    }

    /// The bytes that a device with this content sends.
    ///
    /// # Errors
    /// None for snapshots that were parsed.
    pub fn to_bytes(&self) -> Result<Vec<u8>, postcard::Error> {
        match self.common.profile {
            Alarm::CODE => self.write(|c| Alarm { counts: c.counts, floor: c.floor.unwrap_or_default() }),
            Gap::CODE => self.write(|c| Gap {
                counts: c.counts,
                floor: c.floor.unwrap_or_default(),
                gap: c.gap.unwrap_or_default(),
            }),
            Full::CODE => self.write(|c| Full {
                counts: c.counts,
                floor: c.floor.unwrap_or_default(),
                gap: c.gap.unwrap_or_default(),
                traffic: c.traffic.unwrap_or_default(),
            }),
            _ => self.write(|c| Core { counts: c.counts }),
        }
    }

    fn write<P: Profile + Serialize>(&self, cell: impl Fn(&Cell) -> P) -> Result<Vec<u8>, postcard::Error> {
        let cells: Vec<P> = self.cells.iter().map(cell).collect();
        let mut buffer = vec![0; evenkeel_runtime::monitor::payload::longest::<P>(cells.len())];
        let len = postcard::to_slice(&(VERSION, &self.common, &cells[..]), &mut buffer)?.len();
        buffer.truncate(len);
        Ok(buffer)
    }

    /// The cell of a group that does not exist has counted nothing.
    pub fn cell(&self, group: usize) -> Cell {
        self.cells.get(group).copied().unwrap_or_default()
    }

    /// The snapshot before the first event: what the first one of an incarnation is compared with.
    pub fn beginning(&self) -> Snapshot {
        let empty = |cell: &Cell| Cell {
            counts: Counts::default(),
            floor: cell.floor.map(|_| FloorState::default()),
            gap: cell.gap.map(|_| GapState::default()),
            traffic: cell.traffic.map(|_| Traffic::default()),
        };
        let Common { model, config, profile, groups, slots, .. } = self.common;
        let common = Common { model, config, profile, groups, slots, ..Common::default() };
        let header = Header { boot: 0, seq: 0, ..self.header };
        Snapshot { header, common, cells: self.cells.iter().map(empty).collect() }
    }
}

fn cells<P: Profile + DeserializeOwned>(bytes: &[u8]) -> Result<(Vec<Cell>, &[u8]), SnapshotError> {
    // Read one by one: the length that is written decides about no memory.
    let (count, mut rest) = postcard::take_from_bytes::<u32>(bytes).map_err(SnapshotError::Form)?;
    if count as usize > MAX_GROUPS {
        return Err(SnapshotError::Implausible { what: "more than 64 cells", group: None });
    }
    let mut cells = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let (mut cell, after) = postcard::take_from_bytes::<P>(rest).map_err(SnapshotError::Form)?;
        cells.push(Cell {
            counts: *cell.counts(),
            floor: cell.floor().copied(),
            gap: cell.gap().copied(),
            traffic: cell.traffic().copied(),
        });
        rest = after;
    }
    Ok((cells, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::tests::{Stream, device};
    use proptest::prelude::*;

    #[test]
    fn what_a_device_writes_is_read_and_written_alike() {
        let bytes = device(7, 400, Stream::default()).last().expect("one").to_bytes().expect("it fits");
        let snapshot = Snapshot::parse(Header::default(), &bytes).expect("plausible");
        assert_eq!(snapshot.to_bytes().expect("it fits"), bytes);
        assert_eq!(snapshot.common.events, 400);
        for len in 0..bytes.len() {
            assert!(Snapshot::parse(Header::default(), &bytes[..len]).is_err(), "cut at {len}");
        }
        assert_eq!(Snapshot::parse(Header::default(), &[&bytes[..], &[0]].concat()), Err(SnapshotError::Longer(1)));
    }

    #[test]
    fn contradictions_are_named() {
        let good = device(7, 400, Stream::default()).pop().expect("one");
        let refused = |change: &dyn Fn(&mut Snapshot)| {
            let mut bad = good.clone();
            change(&mut bad);
            Snapshot::parse(bad.header, &bad.to_bytes().expect("it fits")).expect_err("no device counts so").to_string()
        };
        assert!(refused(&|s| s.cells[0].counts.correct = s.cells[0].counts.n + 1).contains("right"));
        assert!(refused(&|s| s.common.events += 1).contains("events"));
        assert!(refused(&|s| s.common.groups += 1).contains("cells"));
        assert!(refused(&|s| s.common.floor_alarms[1] = 1).contains("alarm"));
        let newer = [&[9], &good.to_bytes().expect("it fits")[1..]].concat();
        assert_eq!(Snapshot::parse(good.header, &newer), Err(SnapshotError::Version(9)));
        assert!(refused(&|s| s.cells[1].traffic.as_mut().expect("full").disagreed = u32::MAX).contains("(group 1)"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]
        #[test]
        fn no_bytes_make_it_panic(mut at in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
            let mut bytes = device(7, 60, Stream::default()).pop().expect("one").to_bytes().expect("it fits");
            for (place, value) in at.drain(..) {
                *place.get_mut(&mut bytes) = value;
            }
            if let Ok(snapshot) = Snapshot::parse(Header::default(), &bytes) {
                prop_assert_eq!(snapshot.to_bytes().expect("it fits"), bytes);
            }
        }
    }
}
