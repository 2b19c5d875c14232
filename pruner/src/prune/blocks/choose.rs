//! Which tiles become zero.

use super::{LEAST, Pattern};
use crate::prune::score::Scores;
use crate::prune::select::harm;

/// A layer's share may be so far from the share of all.
const SLACK: f64 = 0.25;
/// So often the harm of all tiles is reckoned anew.
const ROUNDS: usize = 64;

/// A matrix to choose tiles from.
#[derive(Clone, Debug)]
pub struct Grid {
    /// Rows of tiles.
    pub down: usize,
    /// Tiles in a row.
    pub across: usize,
    /// What a tile costs, in any unit.
    pub cost: f64,
    /// Share of tiles that have to be zero before the layer gains anything.
    pub pays_from: f64,
    /// The tiles that are zero already, row by row; they stay zero.
    pub zero: Vec<bool>,
}

/// Chooses tiles part of the `way` (0 to 1) to a pattern; `scores` are per group, grid and tile. With
/// [`Pattern::Share`], the tiles that go are those whose loss harms the worst-off group least for what they save, with
/// each layer's share near the share of all. Gives the tiles that are zero, of each grid.
pub fn choose(grids: &[Grid], scores: &Scores, pattern: Pattern, way: f64) -> Vec<Vec<bool>> {
    let mut c = Chooser {
        zero: grids.iter().map(|g| g.zero.clone()).collect(),
        lost: vec![0.0; scores.groups.len()],
        grids,
        scores,
    };
    match pattern {
        Pattern::Share(share) => c.shares(share, way),
        Pattern::Even(share) => (0..grids.len()).for_each(|i| {
            let go = |len: usize| ((share * len as f64).round() * way).round().min((1.0 - LEAST) * len as f64) as usize;
            c.pieces(i, grids[i].across, go);
        }),
        Pattern::OfEach { keep, of } => (0..grids.len()).for_each(|i| {
            let go = |len: usize| ((len - (len * keep).div_ceil(of)) as f64 * way).round() as usize;
            c.pieces(i, of, go);
        }),
    }
    c.zero
}

struct Chooser<'a> {
    grids: &'a [Grid],
    scores: &'a Scores,
    zero: Vec<Vec<bool>>,
    /// What each group has lost.
    lost: Vec<f64>,
}

impl Chooser<'_> {
    fn added(&self, grid: usize, tile: usize) -> Vec<f64> {
        self.scores.groups.iter().map(|g| g[grid][tile]).collect()
    }

    fn harm(&self, grid: usize, tile: usize) -> f64 {
        harm(&self.lost, &self.added(grid, tile))
    }

    fn take(&mut self, grid: usize, tile: usize) {
        let added = self.added(grid, tile);
        self.lost.iter_mut().zip(added).for_each(|(lost, added)| *lost += added);
        self.zero[grid][tile] = true;
    }

    fn gone(&self, grid: usize) -> usize {
        self.zero[grid].iter().filter(|z| **z).count()
    }

    /// In each piece of `len` neighbours of every row, `go(length)` tiles become zero.
    fn pieces(&mut self, grid: usize, len: usize, go: impl Fn(usize) -> usize) {
        let (down, across) = (self.grids[grid].down, self.grids[grid].across);
        let mut chosen = Vec::new();
        for row in 0..down {
            for first in (0..across).step_by(len) {
                let piece = row * across + first..row * across + (first + len).min(across);
                let (gone, left): (Vec<usize>, Vec<usize>) = piece.clone().partition(|&t| self.zero[grid][t]);
                let mut left: Vec<(f64, usize)> = left.into_iter().map(|t| (self.harm(grid, t), t)).collect();
                left.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                chosen.extend(left.iter().take(go(piece.len()).saturating_sub(gone.len())).map(|(_, t)| *t));
            }
        }
        chosen.into_iter().for_each(|tile| self.take(grid, tile));
    }

    fn shares(&mut self, share: f64, way: f64) {
        let sizes: Vec<usize> = self.zero.iter().map(Vec::len).collect();
        let least = |g: &Grid| (share - SLACK).max(g.pays_from.min(share)).max(0.0) * way;
        let most = (share + SLACK).min(1.0 - LEAST);
        let count = |share: f64, size: usize| (share * size as f64).floor() as usize;
        let limits: Vec<usize> = sizes.iter().map(|&n| count(most, n)).collect();
        for (i, &size) in sizes.iter().enumerate() {
            self.cheapest(count(least(&self.grids[i]), size), &limits, |grid| grid == i);
        }
        self.cheapest((share * way * sizes.iter().sum::<usize>() as f64).round() as usize, &limits, |_| true);
    }

    /// Takes the tiles of the grids in question that harm least for their cost, until so many are zero there.
    fn cheapest(&mut self, goal: usize, limits: &[usize], of: impl Fn(usize) -> bool) {
        let grids: Vec<usize> = (0..self.grids.len()).filter(|&i| of(i)).collect();
        let mut gone: Vec<usize> = (0..self.grids.len()).map(|i| self.gone(i)).collect();
        let mut missing = goal.saturating_sub(grids.iter().map(|&i| gone[i]).sum());
        let step = missing.div_ceil(ROUNDS).max(1);
        while missing > 0 {
            let open = grids.iter().filter(|&&i| gone[i] < limits[i]);
            let tiles = open.flat_map(|&i| (0..self.zero[i].len()).map(move |t| (i, t)));
            let left = tiles.filter(|&(i, t)| !self.zero[i][t]);
            let mut ranked: Vec<(f64, usize, usize)> =
                left.map(|(i, t)| (self.harm(i, t) / self.grids[i].cost.max(1e-12), i, t)).collect();
            if ranked.is_empty() {
                return;
            }
            let by_harm = |a: &(f64, usize, usize), b: &(f64, usize, usize)| {
                a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2)))
            };
            let batch = step.min(missing).min(ranked.len());
            ranked.select_nth_unstable_by(batch - 1, by_harm);
            ranked.truncate(batch);
            ranked.sort_by(by_harm);
            for (_, i, t) in ranked {
                if gone[i] < limits[i] {
                    self.take(i, t);
                    gone[i] += 1;
                    missing -= 1;
                }
            }
        }
    }
}
