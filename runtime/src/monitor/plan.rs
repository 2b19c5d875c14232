//! Planning a monitor on the host: from certified accuracies to the integers of the device.

use super::counts::Logarithms;
use super::gap::TOLERANCE_LIMIT;
use super::state::BETS;
use super::{MAX_GROUPS, ONE_Q26};
use crate::Error;
use crate::format::{FloorRecord, GRID, MonitorHead, NameRef};

/// How far below the floor the alternatives lie.
pub const DROPS: [f64; GRID] = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32];
/// No alternative is lower than this (unless the floor is).
pub const LOWEST: f64 = 0.02;

/// The detector of one group whose accuracy should be at least `p0`.
///
/// The ratios are computed from `p0` rounded down to Q26, in integers and rounded down again, which makes
/// the premise of the guarantee ([`super::check`]) hold exactly. `p0` outside of (0, 1) is moved inside; a
/// ratio that does not fit in 32 bits (`p0` close to 1) is set to the largest that does, which only
/// slows the detector.
pub fn floor_record(name: NameRef, p0: f64) -> FloorRecord {
    let q26 = |p: f64| (p * ONE_Q26 as f64) as u32;
    let floor = q26(p0).clamp(2, ONE_Q26 - 1);
    let lowest = q26(LOWEST).min(floor / 2);
    let p = DROPS.map(|drop| floor.saturating_sub(q26(drop)).max(lowest));
    let ratio = |of: u32, to: u32| u32::try_from(((of as u64) << 26) / to as u64).unwrap_or(u32::MAX);
    FloorRecord {
        name,
        floor,
        correct: p.map(|p| ratio(p, floor)),
        wrong: p.map(|p| ratio(ONE_Q26 - p, ONE_Q26 - floor)),
    }
}

/// The logarithms of a floor's ratios, for evidence from counts alone: of the exact ratios, rounded down in Q24.
pub fn logarithms(floor: &FloorRecord) -> Logarithms {
    let p0 = floor.floor as f64 / ONE_Q26 as f64;
    let lowest = LOWEST.min(p0 / 2.0);
    let p = DROPS.map(|drop| (p0 - drop).max(lowest));
    // One step down more than the rounding, so that errors of the logarithm itself cannot lift a value.
    let q24 = |x: f64| libm::floor(libm::log2(x) * (1u32 << 24) as f64) as i32 - 1;
    Logarithms { correct: p.map(|p| q24(p / p0)), wrong: p.map(|p| q24((1.0 - p) / (1.0 - p0))) }
}

/// The head of a monitor of `groups` groups with at least `arl` labelled events on average between false
/// alarms, its evidence with `q` fractional bits (8 is a good choice).
///
/// # Errors
/// When `groups` is not in 1..=64, `q` not in 1..=16, `arl` is less than 1, or so large that evidence
/// would saturate before it could alarm: `arl * GRID * 2^q` must fit in 32 bits.
pub fn head(groups: usize, arl: f64, q: u32) -> Result<MonitorHead, Error> {
    if groups == 0 || groups > MAX_GROUPS {
        return Err(Error::Monitor("the number of groups must be in 1..=64"));
    }
    Ok(MonitorHead { groups: groups as u32, threshold: threshold(arl, GRID, q)?, q, reserved: 0 })
}

/// Threshold and fractional bits of the gap detectors of `groups` groups with at least `arl` labelled events on average
/// between false alarms of all of them. Every event may feed all detectors, so each is given `arl * groups`. Of the
/// fractional bits up to `q`, the most that fit.
///
/// # Errors
/// As [`head`].
pub fn gap(groups: usize, arl: f64, q: u32) -> Result<(u32, u32), Error> {
    let fits = (1..=q).rev().find_map(|q| threshold(arl * groups as f64, BETS, q).ok().map(|t| (t, q)));
    fits.map_or_else(|| threshold(arl * groups as f64, BETS, q).map(|t| (t, q)), Ok)
}

/// A tolerance in Q26: at least a thousandth; `None` where it is too large for a test.
pub fn tolerance(share: f64) -> Option<u32> {
    let q26 = libm::ceil(share.max(0.001) * ONE_Q26 as f64);
    (q26 < TOLERANCE_LIMIT as f64).then_some(q26 as u32)
}

fn threshold(arl: f64, bets: usize, q: u32) -> Result<u32, Error> {
    if !(1..=16).contains(&q) {
        return Err(Error::Monitor("q must be in 1..=16"));
    }
    if arl.is_nan() || arl < 1.0 {
        return Err(Error::Monitor("the average run length must be at least 1"));
    }
    // Rounded up, so that the run length is not shorter than asked for.
    let threshold = libm::ceil(arl * (bets as u64 * (1u64 << q)) as f64);
    if threshold > u32::MAX as f64 {
        return Err(Error::Monitor("no alarm could ever ring: choose a shorter average run length or a smaller q"));
    }
    Ok(threshold as u32)
}
