//! Before devices are in the field: how soon would a drop be seen, and how often is an alarm false?
//!
//! By simulation with the detector of the device itself, from a fixed seed. A stream of labelled events runs healthy for a
//! while, then one group's accuracy drops; what is counted are labels of that group from then to its alarm.

use evenkeel_runtime::Error;
use evenkeel_runtime::format::{Field, FieldGroup, FloorRecord};
use evenkeel_runtime::monitor::{Config, Gap, Kind, Monitor, Raised, Source, words};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::terms::Terms;

/// Days of a year.
const YEAR: f64 = 365.25;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// Index of the group that gets worse.
    pub group: usize,
    /// Labels of this group a day on one device.
    pub labels: f64,
    /// Labels of all groups a day on one device.
    pub all_labels: f64,
    /// Accuracy of each group as long as all is well.
    pub accuracy: Vec<f64>,
    /// By how much it drops, as a share.
    pub drop: f64,
    /// Streams that are simulated.
    pub runs: usize,
    /// Labels of this group before the drop.
    pub healthy: u32,
    /// Labels of this group after which a stream is given up.
    pub most: u32,
    /// Seed of all streams.
    pub seed: u64,
}

/// Why nothing would ever be seen.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Never {
    /// Without labels there is no outcome to test.
    #[error(
        "no labels of this group: ask users, compare with a reference now and then, or watch a larger model's disagreement"
    )]
    NoLabels,
    /// The file switches the gap detector off for this group, or has none.
    #[error("the gap detector is off for this group: give it a tolerance below a third, and at least two groups")]
    GapOff,
    /// All groups are one.
    #[error("there is no other group to be behind of: name groups in the contract")]
    Alone,
    /// The drop does not cross the floor.
    #[error(
        "after the drop its accuracy {after:.3} is not below its floor {floor:.3}: certify on more rows, which raises the floor, or ask for a larger drop"
    )]
    AboveFloor {
        /// Accuracy after the drop.
        after: f64,
        /// The floor.
        floor: f64,
    },
    /// The drop stays within the tolerance.
    #[error(
        "after the drop it is behind the others by {gap:.3}, not more than the tolerance {tolerance:.3}: lower the tolerance, or ask for a larger drop"
    )]
    WithinTolerance {
        /// How far behind.
        gap: f64,
        /// The tolerance.
        tolerance: f64,
    },
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Something in the question is no number that it can be.
    #[error("{0}")]
    Question(&'static str),
    /// The configuration is not sound.
    #[error("{0}")]
    Config(String),
    /// Neither detector would ever ring.
    #[error("no alarm would ever ring. Floor: {floor}. Gap: {gap}")]
    Never {
        /// Why the floor detector does not.
        floor: Never,
        /// Why the gap detector does not.
        gap: Never,
    },
    /// It would ring all the time.
    #[error(
        "group {group} is below its floor from the beginning ({accuracy:.3} < {floor:.3}): it would alarm without a drop"
    )]
    Sick {
        /// Index of the group.
        group: usize,
        /// Its accuracy.
        accuracy: f64,
        /// Its floor.
        floor: f64,
    },
}

impl From<Error> for PlanError {
    fn from(error: Error) -> Self {
        PlanError::Config(error.to_string())
    }
}

/// Labels of the group from the drop to the alarm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Delay {
    /// Half of all streams are not longer; `None` where fewer have rung at all.
    pub median: Option<u32>,
    /// Nine in ten are not longer.
    pub p90: Option<u32>,
    /// Share of streams that rang within the limit.
    pub seen: f64,
}

/// How often a detector rings without cause.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FalseAlarms {
    /// Labelled events between two of them on average, at least: the guarantee, for the worst healthy stream.
    pub run_length: f64,
    /// A year on one device, at most.
    pub per_year: f64,
    /// A year on one device, as simulated at the accuracies that were given.
    pub simulated: f64,
}

/// One detector.
#[derive(Clone, Debug, PartialEq)]
pub struct Detector {
    /// How soon it rings for this group, or why never.
    pub delay: Result<Delay, Never>,
    /// How often without cause, for any group.
    pub false_alarms: Option<FalseAlarms>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The floor detector.
    pub floor: Detector,
    /// The gap detector.
    pub gap: Detector,
}

/// Answers a question.
///
/// # Errors
/// When the question makes no sense, or no alarm would ever ring.
pub fn answer(terms: &Terms, question: &Question) -> Result<Answer, PlanError> {
    check(terms, question)?;
    let (floor, gap) = (floor_sees(terms, question), gap_sees(terms, question));
    if let (Err(floor), Err(gap)) = (&floor, &gap) {
        return Err(PlanError::Never { floor: floor.clone(), gap: gap.clone() });
    }
    let wanted = [floor.is_ok(), gap.is_ok()];
    let mut delays = [Vec::new(), Vec::new()];
    for run in 0..question.runs {
        let found = stream(terms, question, run as u64, wanted)?;
        delays.iter_mut().zip(found).for_each(|(all, delay)| all.extend(delay));
    }
    let alarms = healthy(terms, question)?;
    let [floor_delays, gap_delays] = delays.map(|mut d| summary(&mut d, question.runs));
    let rate = |run_length: f64, rung: f64| FalseAlarms {
        run_length,
        per_year: question.all_labels * YEAR / run_length,
        simulated: question.all_labels * YEAR * rung,
    };
    let run_length = terms.floor_run_length();
    Ok(Answer {
        floor: Detector { delay: floor.map(|()| floor_delays), false_alarms: Some(rate(run_length, alarms[0])) },
        gap: Detector {
            delay: gap.map(|()| gap_delays),
            false_alarms: terms.gap_run_length().map(|run_length| rate(run_length, alarms[1])),
        },
    })
}

fn check(terms: &Terms, q: &Question) -> Result<(), PlanError> {
    let fault = |what| Err(PlanError::Question(what));
    if q.group >= terms.groups.len() || q.accuracy.len() != terms.groups.len() {
        return fault("name one of the monitor's groups, and give an accuracy for each");
    }
    if !q.accuracy.iter().chain([&q.drop]).all(|p| (0.0..=1.0).contains(p)) || q.drop > q.accuracy[q.group] {
        return fault(
            "accuracies and the drop are shares between 0 and 1, and a drop cannot be larger than the accuracy",
        );
    }
    if !(q.labels >= 0.0 && q.all_labels >= q.labels && q.all_labels.is_finite()) {
        return fault("labels a day must not be negative, and those of all groups not fewer than those of one");
    }
    if terms.groups.len() > 1 && q.all_labels == q.labels && q.labels > 0.0 {
        return fault("the other groups have no labels: all labels a day must be more than those of this group");
    }
    if q.runs == 0 || q.most == 0 {
        return fault("simulate at least one stream of at least one label");
    }
    let sick = |(group, (own, &accuracy)): (usize, (&crate::terms::Group, &f64))| {
        (accuracy < own.floor()).then(|| PlanError::Sick { group, accuracy, floor: own.floor() })
    };
    terms.groups.iter().zip(&q.accuracy).enumerate().find_map(sick).map_or(Ok(()), Err)
}

fn floor_sees(terms: &Terms, q: &Question) -> Result<(), Never> {
    let (after, floor) = (q.accuracy[q.group] - q.drop, terms.groups[q.group].floor());
    match (q.labels > 0.0, after < floor) {
        (false, _) => Err(Never::NoLabels),
        (true, false) => Err(Never::AboveFloor { after, floor }),
        (true, true) => Ok(()),
    }
}

fn gap_sees(terms: &Terms, q: &Question) -> Result<(), Never> {
    if q.labels <= 0.0 {
        return Err(Never::NoLabels);
    }
    if terms.groups.len() < 2 {
        return Err(Never::Alone);
    }
    let tolerance = terms.groups[q.group].tolerance().filter(|_| terms.field.is_some()).ok_or(Never::GapOff)?;
    // The others are seen equally often.
    let others: f64 = q.accuracy.iter().enumerate().filter(|(g, _)| *g != q.group).map(|(_, p)| p).sum();
    let gap = others / (q.accuracy.len() - 1) as f64 - (q.accuracy[q.group] - q.drop);
    if gap > tolerance { Ok(()) } else { Err(Never::WithinTolerance { gap, tolerance }) }
}

/// The terms as the device's detector takes them.
struct Parts {
    floors: Vec<FloorRecord>,
    groups: Vec<FieldGroup>,
}

impl Parts {
    fn of(terms: &Terms) -> Self {
        let floors = terms.groups.iter().map(|g| g.floor).collect();
        Parts { floors, groups: terms.groups.iter().filter_map(|g| g.field).collect() }
    }

    fn config<'a>(&'a self, terms: &'a Terms) -> Result<Config<'a>, Error> {
        let field = terms.field.as_ref().map(|head| Field { head, groups: &self.groups, confusion: &[] });
        Config::new(&terms.head, &self.floors, field)
    }
}

/// Draws the group of each event, and whether it was predicted right.
struct Draws<'q> {
    q: &'q Question,
    rng: ChaCha8Rng,
}

impl Draws<'_> {
    fn next(&mut self, dropped: bool) -> (usize, bool) {
        let groups = self.q.accuracy.len();
        let own = groups == 1 || self.rng.random::<f64>() * self.q.all_labels < self.q.labels;
        let group = match own {
            true => self.q.group,
            // One of the others, each as likely.
            false => (self.q.group + 1 + self.rng.random_range(0..groups - 1)) % groups,
        };
        let drop = if dropped && own { self.q.drop } else { 0.0 };
        (group, self.rng.random::<f64>() < self.q.accuracy[group] - drop)
    }
}

/// Labels of the group from the drop to the first alarm of each detector.
fn stream(terms: &Terms, q: &Question, run: u64, wanted: [bool; 2]) -> Result<[Option<u32>; 2], PlanError> {
    let parts = Parts::of(terms);
    let mut state = vec![0; words::<Gap>(terms.groups.len(), 0)];
    let mut monitor = Monitor::<Gap>::new(parts.config(terms)?, &mut state, 0)?;
    let mut rng = ChaCha8Rng::seed_from_u64(q.seed);
    rng.set_stream(run);
    let mut draws = Draws { q, rng };
    let (mut seen, mut found) = (0, [None; 2]);
    while seen < q.healthy.saturating_add(q.most) && found.iter().zip(wanted).any(|(f, w)| w && f.is_none()) {
        let dropped = seen >= q.healthy;
        let (group, correct) = draws.next(dropped);
        seen += (group == q.group) as u32;
        let raised = monitor.count(Some(group), correct, Source::Reference)?;
        if dropped {
            for (kind, _) in raised.iter().filter(|(_, g)| *g == q.group) {
                found[index(kind)].get_or_insert(seen - q.healthy);
            }
        }
    }
    Ok(found)
}

fn index(kind: Kind) -> usize {
    match kind {
        Kind::Floor => 0,
        Kind::Gap => 1,
    }
}

/// Alarms per event of a healthy stream, by detector.
fn healthy(terms: &Terms, q: &Question) -> Result<[f64; 2], PlanError> {
    const EVENTS: u32 = 200_000;
    let parts = Parts::of(terms);
    let mut state = vec![0; words::<Gap>(terms.groups.len(), 0)];
    let mut monitor = Monitor::<Gap>::new(parts.config(terms)?, &mut state, 0)?;
    let mut draws = Draws { q, rng: ChaCha8Rng::seed_from_u64(q.seed ^ u64::MAX) };
    let mut rung = [0u32; 2];
    for _ in 0..EVENTS {
        let (group, correct) = draws.next(false);
        let Raised { floor, gap } = monitor.count(Some(group), correct, Source::Reference)?;
        rung[0] += floor.count_ones();
        rung[1] += gap.count_ones();
    }
    Ok(rung.map(|n| n as f64 / EVENTS as f64))
}

fn summary(delays: &mut [u32], runs: usize) -> Delay {
    delays.sort_unstable();
    let quantile = |q: f64| delays.get((q * runs as f64).ceil() as usize - 1).copied();
    Delay { median: quantile(0.5), p90: quantile(0.9), seen: delays.len() as f64 / runs as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_runtime::format::{FieldHead, NameRef};
    use evenkeel_runtime::monitor::plan;

    fn terms(p0: f64, groups: usize, arl: f64, tolerance: u32) -> Terms {
        let (gap_threshold, gap_q) = plan::gap(groups, arl, 8).expect("it fits");
        let head = FieldHead { groups: groups as u32, gap_threshold, gap_q, ..Default::default() };
        let own = FieldGroup { tolerance, ..Default::default() };
        let floors = vec![plan::floor_record(NameRef::default(), p0); groups];
        let head_of = plan::head(groups, arl, 8).expect("it fits");
        Terms::new(head_of, &floors, Some((head, &vec![own; groups]))).expect("sound")
    }

    fn question(accuracy: f64, groups: usize, drop: f64) -> Question {
        let accuracy = vec![accuracy; groups];
        Question {
            group: 0,
            labels: 40.0,
            all_labels: 80.0,
            accuracy,
            drop,
            runs: 200,
            healthy: 1000,
            most: 10_000,
            seed: 1,
        }
    }

    #[test]
    fn delays_are_those_of_the_literature() {
        // Floor .90, healthy .92, A = 1e4, history 5000: 317 / 603 labels to see .85, by an independent simulation.
        let terms = terms(0.9, 2, 1e4, plan::tolerance(0.02).expect("small"));
        let q = Question { healthy: 5000, runs: 400, ..question(0.92, 2, 0.07) };
        let found = answer(&terms, &q).expect("seen");
        let delay = found.floor.delay.expect("seen");
        let near = |found: Option<u32>, stated: f64| (found.expect("seen") as f64 / stated - 1.0).abs() < 0.15;
        assert!(near(delay.median, 317.0) && near(delay.p90, 603.0), "{delay:?}");
        let alarms = found.floor.false_alarms.expect("stated");
        assert!((alarms.run_length - 1e4).abs() < 1.0 && alarms.simulated <= alarms.per_year);
        assert!(found.gap.delay.expect("seen").seen > 0.9);
        assert_eq!(answer(&terms, &q).expect("seen").floor.delay, Ok(delay), "the seed decides");
    }

    #[test]
    fn what_can_never_ring_is_refused_with_a_reason() {
        let tolerance = plan::tolerance(0.02).expect("small");
        let on = terms(0.8, 2, 1e4, tolerance);
        let none = Question { labels: 0.0, ..question(0.9, 2, 0.2) };
        assert_eq!(answer(&on, &none), Err(PlanError::Never { floor: Never::NoLabels, gap: Never::NoLabels }));
        let small = answer(&on, &question(0.9, 2, 0.01)).expect_err("within the tolerance");
        assert!(matches!(
            small,
            PlanError::Never { gap: Never::WithinTolerance { .. }, floor: Never::AboveFloor { .. } }
        ));
        let off = answer(&terms(0.8, 2, 1e4, u32::MAX), &question(0.9, 2, 0.05)).expect_err("off");
        assert!(matches!(off, PlanError::Never { gap: Never::GapOff, .. }), "{off}");
        let alone = Question { all_labels: 40.0, runs: 10, ..question(0.9, 1, 0.2) };
        assert_eq!(answer(&terms(0.8, 1, 1e4, tolerance), &alone).expect("floor").gap.delay, Err(Never::Alone));
        assert!(matches!(answer(&on, &question(0.7, 2, 0.1)), Err(PlanError::Sick { group: 0, .. })));
        assert!(plan::head(2, 1e9, 8).expect_err("overflow").to_string().contains("no alarm could ever ring"));
    }
}
