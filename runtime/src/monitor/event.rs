//! What a device tells the monitor: predictions, frames of one episode, where a label came from.

use crate::Session;
use crate::format::BINS;
use crate::kernels::Kernels;

/// A model's answer: the class and how sure it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prediction {
    /// The class.
    pub class: u16,
    /// The largest output less the second largest, in steps of the output: 0 (undecided) to 255.
    pub margin: u8,
}

impl Prediction {
    /// From the outputs of an int8 model; the first largest one is the class. A single output has its distance from
    /// the smallest value as margin.
    pub fn of_outputs(outputs: &[i8]) -> Self {
        let (mut best, mut second, mut class) = (i8::MIN, i8::MIN, 0);
        for (i, &value) in outputs.iter().enumerate() {
            if value > best {
                (second, best, class) = (best, value, i);
            } else if i > 0 && value > second {
                second = value;
            }
        }
        Prediction { class: class as u16, margin: (best as i16 - second as i16) as u8 }
    }

    /// The bin of its margin: the last one whose lower edge it reaches.
    pub fn bin(&self, edges: &[u8; BINS]) -> usize {
        edges.partition_point(|&edge| self.margin >= edge).saturating_sub(1)
    }
}

impl<K: Kernels> From<&Session<'_, '_, K>> for Prediction {
    /// What the last run answered.
    fn from(session: &Session<K>) -> Self {
        Self::of_outputs(session.output())
    }
}

/// Where a label came from; each is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Source {
    /// A reference: another sensor, a laboratory, an expert, a sample that was chosen to be labelled.
    Reference = 0,
    /// The user, asked whether the answer was right or not.
    User = 1,
    /// What followed, e.g. a door that was opened by key after all.
    Outcome = 2,
    /// Somebody complained. Complaints come of wrong answers only, so they are counted and no test sees them.
    Complaint = 3,
}

/// Number of [`Source`]s.
pub const SOURCES: usize = 4;

/// A prediction that was counted and waits for its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "without the ticket its label cannot be joined"]
pub struct Ticket(pub u32);

/// The frames of one thing that happened: one speaker's phrase, one person at the door, one step.
///
/// Frames of an episode share their outcome more or less, so counting each alarms falsely (by simulation in half of all
/// healthy streams at five frames an episode). An episode is one event, that of a frame drawn evenly from all of
/// them: its expected outcome is the mean over the frames, which is what the certificate is about.
#[derive(Clone, Copy, Debug)]
pub struct Episode {
    pub(super) group: Option<usize>,
    pub(super) kept: Prediction,
    pub(super) frames: u32,
    dice: u32,
}

impl Episode {
    pub(super) fn new(group: Option<usize>, seed: u32) -> Self {
        // A multiplication spreads neighbouring seeds; xorshift must not begin at 0.
        Episode { group, kept: Prediction::default(), frames: 0, dice: seed.wrapping_mul(0x9E37_79B9) | 1 }
    }

    /// Takes the next frame's prediction.
    pub fn observe(&mut self, prediction: impl Into<Prediction>) {
        self.frames = self.frames.saturating_add(1);
        for (left, shift) in [(true, 13), (false, 17), (true, 5)] {
            self.dice ^= if left { self.dice << shift } else { self.dice >> shift };
        }
        // Frame i replaces the one that is kept with probability 1 / i: each of them is equally likely in the end.
        if (self.dice as u64 * self.frames as u64) >> 32 == 0 {
            self.kept = prediction.into();
        }
    }

    /// Frames so far.
    pub fn frames(&self) -> u32 {
        self.frames
    }
}
