//! The device's own detectors from one snapshot to the next: is its evidence possible, are its alarms?

use evenkeel_runtime::format::GRID;
use evenkeel_runtime::monitor::state::{BETS, GapState};
use evenkeel_runtime::monitor::{self, AlarmRecord, Common, ONE_Q26, gap};

use super::orders::{self, Bets, Factors};
use super::{Alarm, Fault, Kind, Replay, Standing, Step};
use crate::evidence::log2_wealth;

/// What the later snapshot reports of an alarm since the earlier one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Report {
    /// It did not ring, or somebody has acknowledged it since.
    Nothing,
    /// It rang for the first time since it was last acknowledged, with these figures.
    First(AlarmRecord),
    /// It rang again, or no figures were kept.
    Rang,
    /// It was there before, without figures: nobody knows whether it rang again.
    Unclear,
}

fn report(kind: monitor::Kind, group: usize, from: &Common, to: &Common) -> Report {
    let set = |c: &Common| {
        let mask = if kind == monitor::Kind::Floor { c.floor_alarms } else { c.gap_alarms };
        mask.get(group / 32).is_some_and(|word| word >> (group % 32) & 1 != 0)
    };
    let kept = |c: &Common| c.alarms.iter().find(|r| (r.kind, r.group as usize) == (kind as u8, group)).copied();
    match (set(to), set(from), kept(to), kept(from)) {
        (false, ..) => Report::Nothing,
        (true, true, Some(new), Some(old)) if (new.events, new.n) == (old.events, old.n) => {
            if new.times > old.times {
                Report::Rang
            } else {
                Report::Nothing
            }
        }
        (true, _, Some(new), _) => Report::First(new),
        (true, false, None, _) => Report::Rang,
        (true, true, None, _) => Report::Unclear,
    }
}

/// What orders of the outcomes allow.
struct Judged {
    /// Some order rings.
    possible: bool,
    /// Every order rings.
    certain: bool,
    /// The evidence is less than any order without an alarm gives.
    anew: bool,
}

impl Step<'_> {
    /// Checks the device's floor and gap detectors.
    pub(super) fn device(&self, replay: &mut Replay) {
        self.floor(replay);
        self.gap(replay);
    }

    fn blame(&self, replay: &mut Replay, what: &'static str) {
        replay.faults.push(Fault { seq: self.seq, group: Some(self.group), what });
    }

    fn floor(&self, replay: &mut Replay) {
        let (a, b) = self.cells();
        let (Some(from), Some(to)) = (a.floor, b.floor) else { return };
        let report = report(monitor::Kind::Floor, self.group, &self.from.common, &self.to.common);
        let (right, wrong) = self.outcomes();
        let head = &self.terms.head;
        let (one, threshold) = ((1u32 << head.q) as f64, head.threshold as f64);
        let factor = |q26: u32| q26 as f64 / ONE_Q26 as f64;
        let record = &self.own.floor;
        let factors = |j: usize| Factors { correct: factor(record.correct[j]), wrong: factor(record.wrong[j]) };
        let ranges: [_; GRID] =
            core::array::from_fn(|j| orders::floor(from.evidence[j], one, factors(j), right, wrong));
        let peak = |right, wrong| -> f64 {
            (0..GRID).map(|j| orders::floor_peak(from.evidence[j], one, factors(j), right, wrong)).sum()
        };
        let least: f64 = ranges.iter().map(|r| r.least).sum();
        let mut judged = Judged {
            possible: peak(right, wrong) >= threshold,
            certain: least >= threshold,
            anew: ranges.iter().zip(to.evidence).any(|(r, s)| (s as f64) < r.least),
        };
        let above = ranges.iter().zip(to.evidence).any(|(r, s)| (s as f64) > r.most);
        if above {
            self.blame(replay, "more evidence against the floor than any order of its outcomes gives");
        }
        if let Report::First(rang) = &report {
            // Its figures say how many outcomes of each kind came before the first ring, and after it.
            match self.before(rang) {
                None => judged = Judged { possible: false, certain: false, anew: false },
                Some((early, missed)) => {
                    let sum = |most: bool| -> f64 {
                        let at = |j: usize| orders::floor(from.evidence[j], one, factors(j), early, missed);
                        (0..GRID).map(|j| if most { at(j).most } else { at(j).least }).sum()
                    };
                    judged.possible = sum(true) >= threshold;
                    judged.certain |= sum(false) >= threshold;
                    let rest = |j: usize| orders::floor(0, one, factors(j), right - early, wrong - missed);
                    if rang.times == 1 && !above && (0..GRID).any(|j| !rest(j).contains(to.evidence[j])) {
                        self.blame(replay, "after an alarm the evidence does not begin anew as it must");
                    }
                }
            }
        }
        self.judge(Kind::Floor, &report, &judged, replay);
    }

    /// Right and wrong predictions from the earlier snapshot to an alarm's first ring; `None` where its figures are not
    /// between those of the two snapshots.
    fn before(&self, rang: &AlarmRecord) -> Option<(u32, u32)> {
        let (a, b) = self.cells();
        let (a, b) = (a.counts, b.counts);
        let early = rang.correct.checked_sub(a.correct)?;
        let missed = (rang.n - rang.correct.min(rang.n)).checked_sub(a.n - a.correct)?;
        let (right, wrong) = self.outcomes();
        let events = self.from.common.events < rang.events && rang.events <= self.to.common.events;
        (events && rang.n <= b.n && early <= right && missed <= wrong).then_some((early, missed))
    }

    fn gap(&self, replay: &mut Replay) {
        let (a, b) = self.cells();
        let (Some(from), Some(to), Some(field)) = (a.gap, b.gap, self.terms.field) else { return };
        let Some(group) = self.own.field.filter(|f| f.tolerance != u32::MAX) else {
            if to != GapState::default() {
                self.blame(replay, "a gap detector that is switched off holds evidence");
            }
            return;
        };
        let report = report(monitor::Kind::Gap, self.group, &self.from.common, &self.to.common);
        if to.settled == from.settled {
            if (to.evidence, to.wealth, to.exponent, to.sum) != (from.evidence, from.wealth, from.exponent, from.sum) {
                self.blame(replay, "evidence of a gap changed without a settlement");
            }
            self.judge(Kind::Gap, &report, &Judged { possible: false, certain: false, anew: false }, replay);
            return;
        }
        let bets: [Bets; BETS] = core::array::from_fn(|j| bets(&from, &to, group.tolerance, j));
        if bets.iter().enumerate().any(|(j, bet)| unearned(bet, &from, &to, group.tolerance, j)) {
            self.blame(replay, "a wealth that no settlements with these differences give");
        }
        let (one, threshold) = ((1u32 << field.gap_q) as f64, field.gap_threshold as f64);
        let ranges: [_; BETS] = core::array::from_fn(|j| bets[j].range(from.evidence[j], one));
        if ranges.iter().zip(to.evidence).any(|(r, s)| (s as f64) > r.most) {
            self.blame(replay, "more evidence of a gap than any order of its settlements gives");
        }
        let judged = Judged {
            possible: (0..BETS).map(|j| bets[j].peak(from.evidence[j], one)).sum::<f64>() >= threshold,
            certain: ranges.iter().map(|r| r.least).sum::<f64>() >= threshold,
            anew: ranges.iter().zip(to.evidence).any(|(r, s)| (s as f64) < r.least),
        };
        self.judge(Kind::Gap, &report, &judged, replay);
    }

    fn judge(&self, kind: Kind, report: &Report, judged: &Judged, replay: &mut Replay) {
        let standing = match report {
            Report::First(_) | Report::Rang if judged.certain => Standing::Confirmed,
            Report::First(_) | Report::Rang if judged.possible => Standing::Possible,
            Report::First(_) | Report::Rang => Standing::Impossible,
            Report::Nothing if judged.certain || judged.anew && judged.possible => {
                // Only snapshots after the earlier one tell of it, so only their acknowledgement clears it.
                let cleared = self.to.common.acknowledged > self.from.header.seq;
                if cleared { Standing::Acknowledged } else { Standing::Missing }
            }
            Report::Nothing if judged.anew => {
                self.blame(replay, "less evidence than any order of its outcomes gives");
                return;
            }
            Report::Nothing | Report::Unclear => return,
        };
        let record = if let Report::First(record) = report { Some(*record) } else { None };
        let same = |a: &&mut Alarm| (a.kind, a.group, a.standing) == (kind, self.group, Standing::HostOnly);
        let reported = (!matches!(standing, Standing::Missing | Standing::Acknowledged)).then_some(self.seq);
        if let Some(alarm) = replay.alarms.iter_mut().rev().find(same).filter(|_| reported.is_some()) {
            (alarm.reported, alarm.record) = (reported, record);
            alarm.standing = if standing == Standing::Impossible { standing } else { Standing::Confirmed };
            return;
        }
        let n = self.cells().1.counts.n;
        replay.alarms.push(Alarm { kind, group: self.group, reported, recomputed: None, standing, record, n });
    }
}

/// What is known of a bet between two snapshots.
fn bets(from: &GapState, to: &GapState, tolerance: u32, j: usize) -> Bets {
    let log = |d: i32| (gap::factors(d - tolerance as i32)[j] as f64 / ONE_Q26 as f64).log2();
    let one = ONE_Q26 as i32;
    let wealth = |s: &GapState| log2_wealth(s.wealth[j], s.exponent[j]);
    let product = wealth(to) - wealth(from);
    let settled = (to.settled - from.settled) as f64;
    Bets { lo: log(-one), hi: log(one), settled, product: product.is_finite().then_some(product) }
}

/// Whether a wealth grew more than its settlements can make it: a logarithm is concave, so with a known mean of the
/// differences (each rounded down by less than 1 in Q8) equal ones give most.
fn unearned(bet: &Bets, from: &GapState, to: &GapState, tolerance: u32, j: usize) -> bool {
    if from.wealth[j] == 0 {
        return to.wealth[j] != 0;
    }
    let Some(product) = bet.product else { return false };
    let m = bet.settled;
    let (numerator, shift) = gap::LAMBDA[j];
    let lambda = numerator as f64 / (1u32 << shift) as f64;
    let full = [from.sum, to.sum].iter().any(|&s| s == i32::MAX || s == i32::MIN);
    let mean = if full { 1.0 } else { (to.sum as f64 - from.sum as f64) / (256.0 * m) + 1.0 / 256.0 };
    let most = (1.0 + lambda * (mean - tolerance as f64 / ONE_Q26 as f64)).max(0.0);
    product > m * most.log2().min(bet.hi) + bet.slack() || product < m * bet.lo - bet.slack()
}
