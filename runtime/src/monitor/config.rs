//! What a monitor is configured with: floors, tolerances, bins; all of it from the `.keel` file.

use bytemuck::bytes_of;

use super::gap::TOLERANCE_LIMIT;
use super::{MAX_GROUPS, ONE_Q26};
use crate::format::{BINS, Field, FloorRecord, MonitorHead, crc32, section};
use crate::{Error, Model};

/// Edges of bins where a file states none: sixteen steps each.
const EVEN_EDGES: [u8; BINS] = [0, 16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240];

/// The configuration of a monitor, known to be sound.
#[derive(Clone, Copy, Debug)]
pub struct Config<'m> {
    pub(super) head: &'m MonitorHead,
    pub(super) floors: &'m [FloorRecord],
    pub(super) field: Option<Field<'m>>,
    /// Checksum of the model's file.
    pub model: u32,
    /// Hash of everything that decides what the monitor counts and when it alarms, and of the groups' names. Files of
    /// one network that are packed for several targets share it.
    pub hash: u32,
}

impl<'m> Config<'m> {
    /// The configuration that a file carries; none where it was made without a contract.
    ///
    /// # Errors
    /// When what the file states about the field is not sound, see [`check_field`]. (That is checked here and not with
    /// the file, as firmware without a monitor need not carry the check.)
    pub fn of(model: &Model<'m>) -> Result<Option<Self>, Error> {
        let Some((head, floors)) = model.monitor() else { return Ok(None) };
        let field = model.field();
        let wrong = |fault| Error::Section { kind: section::FIELD, fault };
        match &field {
            Some(field) => check_field(field, floors.len()).map_err(wrong)?,
            None if model.field.is_empty() => {}
            None => return Err(wrong("not of the length that its head states")),
        }
        let mut hash = crc32(bytes_of(head));
        let mut add = |bytes: &[u8]| {
            let parts = [hash, crc32(bytes)];
            hash = crc32(bytes_of(&parts));
        };
        for floor in floors {
            add(model.name(floor.name).as_bytes());
            add(bytes_of(&[floor.floor]));
            add(bytes_of(&[floor.correct, floor.wrong]));
        }
        if let Some(field) = &field {
            add(bytes_of(field.head));
            field.groups.iter().for_each(|group| add(bytes_of(group)));
        }
        Ok(Some(Config { head, floors, field, model: model.crc(), hash }))
    }

    /// A configuration that is not from a file.
    ///
    /// # Errors
    /// When it is not sound, see [`check`] and [`check_field`].
    pub fn new(head: &'m MonitorHead, floors: &'m [FloorRecord], field: Option<Field<'m>>) -> Result<Self, Error> {
        check(head, floors).map_err(Error::Monitor)?;
        if let Some(field) = &field {
            check_field(field, floors.len()).map_err(Error::Monitor)?;
        }
        Ok(Config { head, floors, field, model: 1, hash: crc32(bytes_of(head)) })
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.floors.len()
    }

    /// Edges of the bins of confidence.
    pub fn edges(&self) -> &[u8; BINS] {
        self.field.as_ref().map_or(&EVEN_EDGES, |field| &field.head.edges)
    }
}

/// Says what is wrong with floors.
///
/// The guarantee rests on one premise, checked here for each alternative in exact arithmetic: at every accuracy
/// `p >= floor` the expected factor `p * L_correct + (1 - p) * L_wrong` is at most 1. It falls in `p` when
/// `L_correct <= L_wrong`, so the floor itself is the case to check.
///
/// # Errors
/// The fault, in words.
pub fn check(head: &MonitorHead, floors: &[FloorRecord]) -> Result<(), &'static str> {
    if head.groups as usize != floors.len() || floors.is_empty() || floors.len() > MAX_GROUPS {
        return Err("the number of groups must be 1..=64 and the number of floors");
    }
    if !(1..=16).contains(&head.q) {
        return Err("q must be in 1..=16");
    }
    if head.reserved != 0 {
        return Err("a reserved field is not 0");
    }
    if head.threshold == 0 {
        return Err("a threshold of 0 would always alarm");
    }
    for floor in floors {
        if floor.floor == 0 || floor.floor >= ONE_Q26 {
            return Err("a floor must be between 0 and 1");
        }
        let (right, wrong) = (floor.floor as u64, (ONE_Q26 - floor.floor) as u64);
        for (&c, &w) in floor.correct.iter().zip(&floor.wrong) {
            if c > w || right * c as u64 + wrong * w as u64 > (ONE_Q26 as u64) << 26 {
                return Err("likelihood ratios that would alarm without cause");
            }
        }
    }
    Ok(())
}

/// Says what is wrong with what a file states about the field, for a monitor of so many groups.
///
/// A tolerance of 0 is refused: groups whose accuracy moves together in a settlement's window would alarm falsely.
///
/// # Errors
/// The fault, in words.
pub fn check_field(field: &Field, groups: usize) -> Result<(), &'static str> {
    // Firmware carries these words: few and short ones.
    let head = field.head;
    if field.groups.len() != groups {
        return Err("not one record per group");
    }
    let bins = head.edges[0] == 0 && head.edges.is_sorted();
    if !(1..=16).contains(&head.gap_q) || head.gap_threshold == 0 || !bins || head.reserved != 0 {
        return Err("gap bits, threshold or bins out of range");
    }
    for group in field.groups {
        let [low, high] = group.confidence;
        let off = group.tolerance == u32::MAX;
        if !off && !(1..TOLERANCE_LIMIT).contains(&group.tolerance) {
            return Err("a tolerance must be over 0 and below 1/3");
        }
        if group.agreement > ONE_Q26 || high > ONE_Q26 || low > high {
            return Err("shares out of range");
        }
    }
    Ok(())
}
