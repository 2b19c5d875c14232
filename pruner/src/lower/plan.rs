//! The memory plan: where in the arena each activation lies.
//!
//! Tensors that are alive together must not overlap. Finding the smallest arena is NP-hard, so a few greedy
//! ways are tried and the best one is taken (Pisarchyk and Lee, Efficient Memory Management for Deep Neural
//! Net Inference, 2020: "greedy by size" is within a few percent of the bound on common networks).

use std::cmp::Reverse;

/// Offsets are multiples of this.
const ALIGN: usize = evenkeel_runtime::format::TENSOR_ALIGN;

/// Places tensors of `sizes` bytes, alive from the first to the last operator of `lifetimes`, both included.
/// Gives an offset for each and the bytes of the whole, a multiple of 4.
pub fn plan(sizes: &[usize], lifetimes: &[(usize, usize)]) -> (Vec<usize>, usize) {
    let sizes: Vec<usize> = sizes.iter().map(|s| s.next_multiple_of(ALIGN)).collect();
    let mut by_size: Vec<usize> = (0..sizes.len()).collect();
    by_size.sort_by_key(|&i| (Reverse(sizes[i]), lifetimes[i].0));
    let mut by_time: Vec<usize> = (0..sizes.len()).collect();
    by_time.sort_by_key(|&i| lifetimes[i].0);

    let bound = live_bytes(&sizes, lifetimes);
    let mut best = (Vec::new(), usize::MAX);
    // The lowest place in either order always succeeds; both ends of the least memory in turn suit chains.
    let ways = [(&by_size, None), (&by_time, None), (&by_time, Some((bound, false))), (&by_time, Some((bound, true)))];
    for (order, ends) in ways {
        if let Some(offsets) = place(order, ends, &sizes, lifetimes) {
            let total = offsets.iter().zip(&sizes).map(|(o, s)| o + s).max().unwrap_or(0);
            if total < best.1 {
                best = (offsets, total);
            }
        }
        if best.1 == bound {
            break;
        }
    }
    best
}

/// The most bytes that are alive at once: no plan can do with less.
fn live_bytes(sizes: &[usize], lifetimes: &[(usize, usize)]) -> usize {
    let live = |t: usize| {
        let live = sizes.iter().zip(lifetimes).filter(|(_, l)| l.0 <= t && t <= l.1);
        live.map(|(size, _)| size).sum()
    };
    // What is alive changes for the worse only where a lifetime begins.
    lifetimes.iter().map(|l| live(l.0)).max().unwrap_or(0)
}

/// Places tensors in the given order where nothing that lives with them lies: each at the lowest such offset or,
/// with `ends = (ceiling, flag)`, every other one (the first when `flag`) at the highest below the ceiling.
/// `None` when one does not fit below it.
fn place(
    order: &[usize],
    ends: Option<(usize, bool)>,
    sizes: &[usize],
    lifetimes: &[(usize, usize)],
) -> Option<Vec<usize>> {
    let mut offsets = vec![0; sizes.len()];
    // Those placed so far, by offset.
    let mut placed: Vec<usize> = Vec::with_capacity(order.len());
    for (turn, &i) in order.iter().enumerate() {
        let ceiling = ends.map_or(usize::MAX, |e| e.0);
        let high = ends.is_some_and(|e| e.1 == turn.is_multiple_of(2));
        // The gaps between those that live together with it.
        let (mut gap, mut found) = (0, None);
        let walls = placed.iter().filter(|&&j| together(lifetimes[i], lifetimes[j]));
        let walls = walls.map(|&j| (offsets[j], offsets[j] + sizes[j])).chain([(ceiling, ceiling)]);
        for (start, end) in walls {
            if gap + sizes[i] <= start {
                found = Some(if high { start - sizes[i] } else { gap });
                if !high {
                    break;
                }
            }
            gap = gap.max(end);
        }
        offsets[i] = found?;
        placed.insert(placed.partition_point(|&j| offsets[j] <= offsets[i]), i);
    }
    Some(offsets)
}

fn together(a: (usize, usize), b: (usize, usize)) -> bool {
    a.0 <= b.1 && b.0 <= a.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn aligned(sizes: &[usize]) -> Vec<usize> {
        sizes.iter().map(|s| s.next_multiple_of(ALIGN)).collect()
    }

    proptest! {
        #[test]
        fn nothing_alive_overlaps(tensors in prop::collection::vec((1usize..200, 0usize..12, 0usize..5), 0..25)) {
            let sizes: Vec<usize> = tensors.iter().map(|t| t.0).collect();
            let lifetimes: Vec<_> = tensors.iter().map(|t| (t.1, t.1 + t.2)).collect();
            let (offsets, total) = plan(&sizes, &lifetimes);
            prop_assert!(total >= live_bytes(&aligned(&sizes), &lifetimes) && total.is_multiple_of(ALIGN));
            for i in 0..sizes.len() {
                prop_assert!(offsets[i].is_multiple_of(ALIGN) && offsets[i] + sizes[i] <= total);
                for j in 0..i {
                    let apart = offsets[i] + sizes[i] <= offsets[j] || offsets[j] + sizes[j] <= offsets[i];
                    prop_assert!(apart || !together(lifetimes[i], lifetimes[j]));
                }
            }
        }

        /// In a chain only neighbours are alive together, and the plan reaches the bound.
        #[test]
        fn a_chain_takes_its_largest_pair(sizes in prop::collection::vec(1usize..500, 2..20)) {
            let last = sizes.len() - 2;
            let lifetimes: Vec<_> = (0..sizes.len()).map(|i| (i.saturating_sub(1), i.min(last))).collect();
            prop_assert_eq!(plan(&sizes, &lifetimes).1, live_bytes(&aligned(&sizes), &lifetimes));
        }
    }
}
