//! A made-up stream of events for a monitor, the same on host and device. The firmware includes this file.
//!
//! Labels come late and out of order, some too late, some never; of some people the group is not known; and one group's
//! model goes bad on the way.

use evenkeel_runtime::monitor::{Full, Monitor, Prediction, Raised, Source, Ticket};

/// Groups of the stream.
pub const GROUPS: usize = 16;
/// The group whose accuracy falls.
pub const DEGRADED: usize = 5;
/// Steps after which it does.
pub const DEGRADED_FROM: u32 = 20_000;
/// Classes of the model that is made up.
const CLASSES: u32 = 4;
/// Labels under way: one of them arrives at each step, so that they are late by this many predictions on average.
const UNDER_WAY: usize = 20;

/// What happens in one step: a prediction, and the label of an earlier one.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Whose input it is.
    pub group: Option<usize>,
    /// What the model says.
    pub prediction: Prediction,
    /// A ticket, the right class, and who says so.
    pub label: Option<(Ticket, u16, Source)>,
    /// Where the label of this prediction waits, and the right class.
    place: usize,
    truth: u16,
}

/// The stream.
#[derive(Clone, Debug)]
pub struct Stream {
    random: u32,
    steps: u32,
    under_way: [Option<(Ticket, u16)>; UNDER_WAY],
}

impl Stream {
    /// From its beginning.
    pub fn new(seed: u32) -> Self {
        Stream { random: seed | 1, steps: 0, under_way: [None; UNDER_WAY] }
    }

    /// A number below `n` (xorshift32, Marsaglia 2003).
    fn below(&mut self, n: u32) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        ((self.random as u64 * n as u64) >> 32) as u32
    }

    /// The next step; the ticket of its prediction goes to [`Stream::issued`].
    pub fn step(&mut self) -> Step {
        self.steps = self.steps.wrapping_add(1);
        // Half of the people are of the first groups.
        let of = [GROUPS as u32, 4][self.below(2) as usize];
        let group = self.below(of) as usize;
        let bad = group == DEGRADED && self.steps > DEGRADED_FROM;
        let truth = self.below(CLASSES);
        let right = self.below(100) < if bad { 70 } else { 93 };
        let class = if right { truth } else { (truth + 1) % CLASSES };
        let prediction = Prediction { class: class as u16, margin: self.below(256) as u8 };
        let source = match self.below(20) {
            0 => Source::Complaint,
            1..4 => Source::User,
            4..8 => Source::Outcome,
            _ => Source::Reference,
        };
        let place = self.below(UNDER_WAY as u32) as usize;
        // One label of 16 never comes.
        let label = self.under_way[place].take().filter(|_| self.below(16) != 0);
        Step {
            group: (self.below(32) != 0).then_some(group),
            prediction,
            label: label.map(|(ticket, truth)| (ticket, truth, source)),
            place,
            truth: truth as u16,
        }
    }

    /// Sends the label of this step's prediction on its way.
    pub fn issued(&mut self, step: &Step, ticket: Ticket) {
        self.under_way[step.place] = Some((ticket, step.truth));
    }
}

/// Labels that were joined so far, complaints included.
pub fn labelled(monitor: &Monitor<Full>) -> u32 {
    monitor.common().sources.iter().sum()
}

/// One step on a monitor. Gives the prediction's ticket, and what its label raised; a label that comes too late is not
/// counted. None when the monitor has fewer groups. Not inlined, so that its size can be told.
#[inline(never)]
pub fn apply(monitor: &mut Monitor<Full>, step: &Step) -> Option<(Ticket, Raised)> {
    let ticket = monitor.predict(step.group, step.prediction).ok()?;
    let raised = match step.label {
        Some((ticket, truth, source)) => monitor.label(ticket, truth, source).unwrap_or_default(),
        None => Raised::default(),
    };
    Some((ticket, raised))
}
