//! The pick: of the front, the smallest network that holds on selection rows after a full recovery, in int8.

use super::breed::seeded;
use super::{Pareto, Recovered, Stand, front};
use crate::couple::{couple, widths};
use crate::error::Result;
use crate::fair::Verdict;
use crate::graph::Graph;
use crate::lower::Cost;
use crate::progress::{Stop, bar};
use crate::prune::Options;
use crate::prune::schedule::{Outcome, Step, shares};
use crate::prune::tune::{Tuner, Tuning};

/// What a network must clear on selection rows to be picked.
#[derive(Clone, Copy, Debug)]
pub struct Bar {
    /// Every bound stays this far from its limit.
    pub margin: f64,
    /// Everybody loses at most this much. (An excess drop says nothing of a network that is as bad for all.)
    pub max_drop: f64,
}

impl Bar {
    /// Whether a network clears it.
    pub fn cleared(&self, s: &Stand) -> bool {
        s.slack.is_some_and(|slack| slack >= self.margin) && s.drop <= self.max_drop
    }
}

/// Which of the front to recover next, given what those so far came to: begins at the smallest that promises to hold (the
/// largest where none does), goes on to smaller ones as long as they hold, or to larger ones until one does.
fn next(promise: &[bool], tried: &[(usize, bool)]) -> Option<usize> {
    let Some(&(first, held)) = tried.first() else {
        return promise.iter().position(|p| *p).or(promise.len().checked_sub(1));
    };
    let &(last, last_held) = tried.last()?;
    match (held, last_held) {
        (true, true) => last.checked_sub(1),
        (true, false) => None,
        (false, true) => None,
        (false, false) => Some(last + 1).filter(|&i| i > first && i < promise.len()),
    }
}

/// The smallest of those that held.
fn best(tried: &[(usize, bool)]) -> Option<usize> {
    tried.iter().filter(|(_, held)| *held).map(|(i, _)| *i).min()
}

impl Pareto<'_> {
    /// Recovers up to `count` candidates of the front with the whole `options`, judges each in int8 on selection rows by
    /// `judge`, and gives the number of the smallest that clears the bar with what pruning gives. `None` where none does.
    ///
    /// # Errors
    /// When training failed, the folder cannot be written, what `judge` returns, or the user stopped it.
    pub fn pick(
        &mut self,
        options: &Options,
        bar: &Bar,
        count: usize,
        judge: impl Fn(&Graph) -> Result<Verdict>,
        stop: &Stop,
    ) -> Result<Option<(usize, Outcome)>> {
        let front = front(self.archive.candidates());
        let promise: Vec<bool> = front.iter().map(|&i| bar.cleared(&self.archive.candidates()[i].stand)).collect();
        let mut tried = Vec::new();
        while tried.len() < count {
            let Some(at) = next(&promise, &tried) else { break };
            let stand = self.recover(front[at], options, &judge, stop)?;
            tried.push((at, bar.cleared(&stand)));
        }
        best(&tried).map(|at| Ok((front[at], self.outcome(front[at])?))).transpose()
    }

    /// Where a candidate stands after its recovery.
    fn recover(
        &mut self,
        number: usize,
        options: &Options,
        judge: impl Fn(&Graph) -> Result<Verdict>,
        stop: &Stop,
    ) -> Result<Stand> {
        let candidate = &self.archive.candidates()[number];
        if let Some(known) = candidate.recovered.filter(|r| r.steps == options.recover) {
            return Ok(known.stand);
        }
        let (_, steps, last) = shares(options);
        let progress = bar("recover", steps + last);
        let mut rng = seeded(options.seed, &candidate.widths);
        let mut tuner = Tuner::new(&self.shared, stop, &progress);
        let mut graph = tuner.tune(&self.archive.network(number)?, Tuning::recovery(steps, false), &mut rng)?;
        if last > 0 {
            graph = tuner.tune(&graph, Tuning::last_layer(last, false), &mut rng)?;
        }
        progress.finish_and_clear();
        stop.check()?;
        let recovered = Recovered { steps: options.recover, stand: Stand::of(&judge(&graph)?) };
        self.archive.keep_recovered(number, &graph, recovered)?;
        Ok(recovered.stand)
    }

    /// What pruning would have given, had it come to this candidate.
    fn outcome(&self, number: usize) -> Result<Outcome> {
        let candidate = &self.archive.candidates()[number];
        let graph = self.archive.recovered(number)?;
        let cost = self.task.frame.cost(&graph)?;
        let Cost { macs, flash, ram } = cost;
        let step = |phase: String, s: &Stand| Step {
            phase,
            macs,
            flash,
            ram,
            overall: s.overall,
            worst: s.worst,
            max_excess_drop: s.max_excess_drop,
        };
        let recovered = candidate.recovered.iter().map(|r| step("recovery, int8".into(), &r.stand));
        let short = step(format!("candidate {number}"), &candidate.stand);
        let until = (candidate.start + 1).min(self.archive.history().len());
        let before = self.archive.history()[..until].iter().cloned();
        let small = widths(&couple(&graph));
        let classes = self.shared.coupling.classes.iter().zip(small).filter(|(c, _)| c.frozen.is_none());
        Ok(Outcome {
            cost: (self.shared.cost, cost),
            limits: self.budget,
            history: before.chain([short]).chain(recovered).collect(),
            path: Vec::new(),
            widths: classes.map(|(c, after)| (c.name.clone(), c.channels, after)).collect(),
            blocks: Vec::new(),
            stopped: false,
            cut_short: false,
            graph,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Goes the whole way on a front of which `holds` says who holds once recovered.
    fn walk(promise: &[bool], holds: &[bool], count: usize) -> Vec<(usize, bool)> {
        let mut tried = Vec::new();
        while tried.len() < count {
            let Some(at) = super::next(promise, &tried) else { break };
            tried.push((at, holds[at]));
        }
        tried
    }

    proptest! {
        /// Nobody is recovered twice, only who held is picked, and where larger networks hold whenever smaller ones do,
        /// the smallest that holds is.
        #[test]
        fn the_smallest_that_holds_is_picked(promise in prop::collection::vec(any::<bool>(), 1..12), from in 0usize..13) {
            let n = promise.len();
            let holds: Vec<bool> = (0..n).map(|i| i >= from).collect();
            let tried = walk(&promise, &holds, usize::MAX);
            let mut once: Vec<usize> = tried.iter().map(|t| t.0).collect();
            once.sort_unstable();
            once.dedup();
            prop_assert_eq!(once.len(), tried.len());
            prop_assert_eq!(best(&tried), (from < n).then_some(from));
            let few = walk(&promise, &holds, 2);
            prop_assert!(few.len() <= 2 && best(&few).is_none_or(|i| holds[i]));
        }
    }

    #[test]
    fn the_walk_begins_where_it_is_promising() {
        assert_eq!(walk(&[false, true, true], &[false, true, true], 9), [(1, true), (0, false)]);
        assert_eq!(walk(&[false, true, true], &[false, false, true], 9), [(1, false), (2, true)]);
        assert_eq!(walk(&[false, false], &[true, true], 9), [(1, true), (0, true)]);
        assert_eq!(walk(&[], &[], 9), []);
    }
}
