//! The memory plan: where in the arena each activation lies.
//!
//! Tensors that are alive together must not overlap, except where an operator that writes one of them is the last to
//! read the other: then the new one may take the old one's place, or begin a little before or behind it, so that it
//! only covers rows that have been read ([`evenkeel_runtime::strips`]). Finding the smallest arena is NP-hard, so a few
//! greedy ways are tried and the best one is taken (Pisarchyk and Lee, Efficient Memory Management for Deep Neural
//! Net Inference, 2020: "greedy by size" is within a few percent of the bound on common networks).

use std::cmp::Reverse;

/// Offsets are multiples of this.
const ALIGN: i64 = evenkeel_runtime::format::TENSOR_ALIGN as i64;

/// A tensor to place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Bytes.
    pub size: usize,
    /// The operators at which it is alive, both included.
    pub alive: (usize, usize),
}

/// An operator reads tensor `old` for the last time and writes tensor `new`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// What is read.
    pub old: usize,
    /// What is written.
    pub new: usize,
    /// How they may overlap.
    pub how: Overlap,
}

/// How a tensor may overlap the one that it is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// At the same offset.
    Same,
    /// At least `before` bytes before it, or at least `behind` bytes behind it; either may be negative.
    Shifted {
        /// Rows are written from the first to the last.
        before: i64,
        /// Rows are written from the last to the first.
        behind: i64,
    },
}

/// Places tensors. Gives an offset for each and the bytes of the whole, a multiple of 4.
pub fn plan(tensors: &[Tensor], shares: &[Share]) -> (Vec<usize>, usize) {
    let sizes: Vec<i64> = tensors.iter().map(|t| t.size.next_multiple_of(ALIGN as usize) as i64).collect();
    let mut by_size: Vec<usize> = (0..tensors.len()).collect();
    by_size.sort_by_key(|&i| (Reverse(sizes[i]), tensors[i].alive.0));
    let mut by_time: Vec<usize> = (0..tensors.len()).collect();
    by_time.sort_by_key(|&i| tensors[i].alive.0);
    let backwards: Vec<usize> = by_time.iter().rev().copied().collect();
    // From the largest tensor on, along time in both directions: what overlaps it finds it placed.
    let peak = by_time.iter().position(|&i| Some(&i) == by_size.first()).unwrap_or(0);
    let from_peak: Vec<usize> = by_time[peak..].iter().chain(by_time[..peak].iter().rev()).copied().collect();

    let place = Place { tensors, sizes: &sizes, shares };
    let bound = place.live_bytes();
    let mut best = (Vec::new(), i64::MAX);
    // The lowest place in any order always succeeds; both ends of the least memory in turn suit chains.
    let orders = [&by_size, &by_time, &backwards, &from_peak];
    let lowest = orders.map(|order| (order, None));
    let ends = [(&by_time, Some((bound, false))), (&by_time, Some((bound, true)))];
    for (order, ends) in lowest.into_iter().chain(ends) {
        if let Some(offsets) = place.all(order, ends) {
            let total = offsets.iter().zip(&sizes).map(|(o, s)| o + s).max().unwrap_or(0);
            if total < best.1 {
                best = (offsets, total);
            }
        }
    }
    (best.0.iter().map(|&o| o as usize).collect(), best.1.max(0) as usize)
}

struct Place<'a> {
    tensors: &'a [Tensor],
    sizes: &'a [i64],
    shares: &'a [Share],
}

impl Place<'_> {
    /// The most bytes that are alive at once.
    fn live_bytes(&self) -> i64 {
        let live = |t: usize| {
            let live = self.tensors.iter().zip(self.sizes).filter(|(x, _)| x.alive.0 <= t && t <= x.alive.1);
            live.map(|(_, size)| size).sum()
        };
        // What is alive changes for the worse only where a lifetime begins.
        self.tensors.iter().map(|x| live(x.alive.0)).max().unwrap_or(0)
    }

    /// Places tensors in the given order, each at the lowest offset that is free or, with `ends = (ceiling, flag)`,
    /// every other one (the first when `flag`) at the highest below the ceiling. `None` when one does not fit below.
    fn all(&self, order: &[usize], ends: Option<(i64, bool)>) -> Option<Vec<i64>> {
        let mut offsets = vec![0; self.tensors.len()];
        let mut placed: Vec<usize> = Vec::with_capacity(order.len());
        for (turn, &i) in order.iter().enumerate() {
            let ceiling = ends.map_or(i64::MAX, |e| e.0);
            let high = ends.is_some_and(|e| e.1 == turn.is_multiple_of(2));
            // Offsets of `i` that each placed tensor forbids: an open range, of which one point may be free.
            let walls: Vec<(i64, i64, Option<i64>)> =
                placed.iter().filter_map(|&j| self.forbidden(i, j, offsets[j])).collect();
            let free = |at: i64| walls.iter().all(|&(from, to, point)| at <= from || at >= to || point == Some(at));
            let fits = |at: &i64| *at >= 0 && *at % ALIGN == 0 && *at <= ceiling - self.sizes[i] && free(*at);
            let up = |v: i64| v + (-v).rem_euclid(ALIGN);
            let down = |v: i64| v - v.rem_euclid(ALIGN);
            let points = walls.iter().filter_map(|w| w.2);
            offsets[i] = if high {
                let edges = walls.iter().map(|w| down(w.0)).chain([down(ceiling - self.sizes[i])]);
                edges.chain(points).filter(fits).max()?
            } else {
                walls.iter().map(|w| up(w.1)).chain([0]).chain(points).filter(fits).min()?
            };
            placed.push(i);
        }
        Some(offsets)
    }

    /// The offsets of `i` between which it would spoil `j`, which lies at `at`, and one between them that is allowed.
    fn forbidden(&self, i: usize, j: usize, at: i64) -> Option<(i64, i64, Option<i64>)> {
        let (a, b) = (self.tensors[i].alive, self.tensors[j].alive);
        if a.1 < b.0 || b.1 < a.0 {
            return None;
        }
        let apart = (at - self.sizes[i], at + self.sizes[j]);
        let share = self.shares.iter().find(|s| (s.new, s.old) == (i, j) || (s.new, s.old) == (j, i));
        match share.map(|s| (s.how, s.new == i)) {
            None => Some((apart.0, apart.1, None)),
            Some((Overlap::Same, _)) => Some((apart.0, apart.1, Some(at))),
            Some((Overlap::Shifted { before, behind }, is_new)) => {
                let (low, high) = if is_new { (at - before, at + behind) } else { (at - behind, at + before) };
                // Where there is room for one of them between the rows of the other, nothing is forbidden.
                (low < high).then_some((low.max(apart.0), high.min(apart.1), None))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tensors(sizes: &[usize], alive: impl Fn(usize) -> (usize, usize)) -> Vec<Tensor> {
        sizes.iter().enumerate().map(|(i, &size)| Tensor { size, alive: alive(i) }).collect()
    }

    fn aligned(t: &Tensor) -> usize {
        t.size.next_multiple_of(ALIGN as usize)
    }

    proptest! {
        #[test]
        fn nothing_alive_overlaps(drawn in prop::collection::vec((1usize..200, 0usize..12, 0usize..5), 0..25)) {
            let tensors: Vec<_> = drawn.iter().map(|t| Tensor { size: t.0, alive: (t.1, t.1 + t.2) }).collect();
            let (offsets, total) = plan(&tensors, &[]);
            prop_assert!(total.is_multiple_of(ALIGN as usize));
            for (i, a) in tensors.iter().enumerate() {
                prop_assert!(offsets[i].is_multiple_of(ALIGN as usize) && offsets[i] + aligned(a) <= total);
                for (j, b) in tensors[..i].iter().enumerate() {
                    let apart = offsets[i] + aligned(a) <= offsets[j] || offsets[j] + aligned(b) <= offsets[i];
                    prop_assert!(apart || a.alive.1 < b.alive.0 || b.alive.1 < a.alive.0);
                }
            }
        }

        /// In a chain only neighbours are alive together, and the plan reaches the bound.
        #[test]
        fn a_chain_takes_its_largest_pair(sizes in prop::collection::vec(1usize..500, 2..20)) {
            let last = sizes.len() - 2;
            let tensors = tensors(&sizes, |i| (i.saturating_sub(1), i.min(last)));
            let largest = tensors.windows(2).map(|w| aligned(&w[0]) + aligned(&w[1])).max();
            prop_assert_eq!(Some(plan(&tensors, &[]).1), largest);
        }

        /// With room for a row before or behind, a chain of equal tensors takes one of them and a row.
        #[test]
        fn a_chain_of_strips_takes_one_tensor_and_a_row(rows in 2usize..30, row in 1i64..20, n in 2usize..12) {
            let row = row * ALIGN;
            let tensors = tensors(&vec![rows * row as usize; n], |i| (i.saturating_sub(1), i.min(n - 2)));
            let how = Overlap::Shifted { before: row, behind: row };
            let shares: Vec<_> = (1..n).map(|new| Share { old: new - 1, new, how }).collect();
            prop_assert_eq!(plan(&tensors, &shares).1, (rows + 1) * row as usize);
        }
    }

    #[test]
    fn what_is_added_to_takes_no_more_room() {
        let tensors = [(0, 1), (0, 1), (1, 1)].map(|alive| Tensor { size: 64, alive });
        let share = Share { old: 1, new: 2, how: Overlap::Same };
        assert_eq!(plan(&tensors, &[share]).1, 128);
    }
}
