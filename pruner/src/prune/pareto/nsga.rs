//! NSGA-II (Deb et al. 2002) on integer genomes: non-dominated sorting, crowding, tournaments, simulated binary crossover
//! and polynomial mutation.
//!
//! The crates that there are own the loop, draw from random numbers that nobody can seed, or bring a plotting program.
//! A search that goes on where it stopped needs the opposite: it is replayed from its seed, and what was evaluated before
//! costs nothing.

use crate::error::Result;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::HashSet;

/// A level per gene.
pub type Genome = Vec<usize>;

/// How near children stay to their parents in crossover, and to themselves in mutation; Deb's customary values.
const ETA: (f64, f64) = (15.0, 20.0);
/// Attempts at a child that was not there before.
const ATTEMPTS: usize = 40;

/// Whether `a` is nowhere worse than `b` and somewhere better; less is better.
pub fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a <= b) && a.iter().zip(b).any(|(a, b)| a < b)
}

/// Indices of the points front by front: those that nothing dominates, those that only the first dominate, and so on.
pub fn fronts(points: &[Vec<f64>]) -> Vec<Vec<usize>> {
    let n = points.len();
    let over = |i: usize| -> Vec<usize> { (0..n).filter(|&j| dominates(&points[i], &points[j])).collect() };
    let dominated: Vec<Vec<usize>> = (0..n).map(over).collect();
    let mut by = vec![0usize; n];
    dominated.iter().flatten().for_each(|&j| by[j] += 1);
    let mut fronts = Vec::new();
    let mut front: Vec<usize> = (0..n).filter(|&i| by[i] == 0).collect();
    while !front.is_empty() {
        let mut next = Vec::new();
        for &j in front.iter().flat_map(|&i| &dominated[i]) {
            by[j] -= 1;
            if by[j] == 0 {
                next.push(j);
            }
        }
        next.sort_unstable();
        fronts.push(std::mem::replace(&mut front, next));
    }
    fronts
}

/// How alone each point of a front is: over the objectives, the distance between its neighbours as a share of the front's
/// width. The ends of every objective are infinitely alone.
pub fn crowding(points: &[Vec<f64>], front: &[usize]) -> Vec<f64> {
    let mut distance = vec![0.0; front.len()];
    let objectives = front.first().map_or(0, |&i| points[i].len());
    (0..objectives).for_each(|m| {
        let at = |k: usize| points[front[k]][m];
        let mut order: Vec<usize> = (0..front.len()).collect();
        order.sort_by(|&a, &b| at(a).total_cmp(&at(b)).then(a.cmp(&b)));
        let (first, last) = (order[0], order[order.len() - 1]);
        let width = at(last) - at(first);
        for three in order.windows(3).filter(|_| width > 0.0) {
            distance[three[1]] += (at(three[2]) - at(three[0])) / width;
        }
        (distance[first], distance[last]) = (f64::INFINITY, f64::INFINITY);
    });
    distance
}

/// Front and crowding of every point: what tournaments compare.
fn ranks(points: &[Vec<f64>]) -> Vec<(usize, f64)> {
    let mut ranks = vec![(0, 0.0); points.len()];
    for (rank, front) in fronts(points).iter().enumerate() {
        front.iter().zip(crowding(points, front)).for_each(|(&i, alone)| ranks[i] = (rank, alone));
    }
    ranks
}

/// The `count` points that live on: whole fronts, and of the one that does not fit the most alone.
pub fn survivors(points: &[Vec<f64>], count: usize) -> Vec<usize> {
    let ranks = ranks(points);
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|&a, &b| better(ranks[a], ranks[b]).then(a.cmp(&b)));
    order.truncate(count);
    order
}

/// An earlier front first, then the more alone.
fn better(a: (usize, f64), b: (usize, f64)) -> std::cmp::Ordering {
    a.0.cmp(&b.0).then(b.1.total_cmp(&a.1))
}

/// How long and how wide to search.
#[derive(Clone, Copy, Debug)]
pub struct Evolution {
    /// Genomes that live at once.
    pub population: usize,
    /// How often children are made.
    pub generations: usize,
    /// Seed of every random choice.
    pub seed: u64,
}

/// Lets a population evolve from `start`. Gene `i` takes the levels below `levels[i]`; `repair` makes any genome a valid
/// one; `evaluate` gives the objectives, less is better, or `None` to end the search here. No genome is evaluated twice.
///
/// # Errors
/// What `evaluate` returns.
pub fn evolve(
    how: Evolution,
    levels: &[usize],
    start: Vec<Genome>,
    mut repair: impl FnMut(Genome, &mut ChaCha8Rng) -> Result<Genome>,
    mut evaluate: impl FnMut(&Genome) -> Result<Option<Vec<f64>>>,
) -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(how.seed);
    let mut seen: HashSet<Genome> = HashSet::new();
    let (mut genomes, mut points): (Vec<Genome>, Vec<Vec<f64>>) = (Vec::new(), Vec::new());
    let mut first = Vec::new();
    for genome in start {
        let genome = repair(genome, &mut rng)?;
        if first.len() < how.population && seen.insert(genome.clone()) {
            first.push(genome);
        }
    }
    // The rest of the first population lies around those that were given.
    for k in 0..how.population.saturating_sub(first.len()) {
        let Some(near) = first.get(k % first.len().max(1)).cloned() else { break };
        let make = |rng: &mut ChaCha8Rng| mutated(mutated(near.clone(), levels, rng), levels, rng);
        first.extend(fresh(&mut seen, &mut repair, &mut rng, make)?);
    }
    for genome in first {
        let Some(point) = evaluate(&genome)? else { return Ok(()) };
        genomes.push(genome);
        points.push(point);
    }
    // Without anything to start from there is nothing to breed.
    let generations = if genomes.is_empty() { 0 } else { how.generations };
    for _ in 0..generations {
        let ranks = ranks(&points);
        let mut children = Vec::new();
        for _ in 0..how.population {
            let make = |rng: &mut ChaCha8Rng| {
                let [a, b] = [(); 2].map(|()| &genomes[tournament(&ranks, rng)]);
                mutated(crossed(a, b, levels, rng), levels, rng)
            };
            children.extend(fresh(&mut seen, &mut repair, &mut rng, make)?);
        }
        for child in children {
            let Some(point) = evaluate(&child)? else { return Ok(()) };
            genomes.push(child);
            points.push(point);
        }
        let live = survivors(&points, how.population);
        genomes = live.iter().map(|&i| genomes[i].clone()).collect();
        points = live.iter().map(|&i| points[i].clone()).collect();
    }
    Ok(())
}

/// A genome that was not there before, if `make` finds one.
fn fresh(
    seen: &mut HashSet<Genome>,
    repair: &mut impl FnMut(Genome, &mut ChaCha8Rng) -> Result<Genome>,
    rng: &mut ChaCha8Rng,
    make: impl Fn(&mut ChaCha8Rng) -> Genome,
) -> Result<Option<Genome>> {
    for _ in 0..ATTEMPTS {
        let child = make(rng);
        let child = repair(child, rng)?;
        if seen.insert(child.clone()) {
            return Ok(Some(child));
        }
    }
    Ok(None)
}

/// The better one of two that chance names.
fn tournament(ranks: &[(usize, f64)], rng: &mut impl Rng) -> usize {
    let [a, b] = [(); 2].map(|()| rng.random_range(0..ranks.len()));
    if better(ranks[a], ranks[b]).is_le() { a } else { b }
}

/// Simulated binary crossover, rounded: one of its two children.
fn crossed(a: &Genome, b: &Genome, levels: &[usize], rng: &mut impl Rng) -> Genome {
    let gene = |((&a, &b), &levels): ((&usize, &usize), &usize)| {
        let (a, b) = if rng.random_bool(0.5) { (a as f64, b as f64) } else { (b as f64, a as f64) };
        let u: f64 = rng.random();
        let power = 1.0 / (ETA.0 + 1.0);
        let spread = if u <= 0.5 { (2.0 * u).powf(power) } else { (0.5 / (1.0 - u)).powf(power) };
        let child = 0.5 * ((1.0 + spread) * a + (1.0 - spread) * b);
        child.round().clamp(0.0, (levels - 1) as f64) as usize
    };
    a.iter().zip(b).zip(levels).map(gene).collect()
}

/// Polynomial mutation of about one gene, by one level at least.
fn mutated(mut genome: Genome, levels: &[usize], rng: &mut impl Rng) -> Genome {
    let chance = 1.0 / levels.len().max(1) as f64;
    for (gene, &levels) in genome.iter_mut().zip(levels) {
        if levels < 2 || !rng.random_bool(chance) {
            continue;
        }
        let u: f64 = rng.random();
        let power = 1.0 / (ETA.1 + 1.0);
        let step = if u < 0.5 { (2.0 * u).powf(power) - 1.0 } else { 1.0 - (2.0 * (1.0 - u)).powf(power) };
        let size = (step.abs() * (levels - 1) as f64).round().max(1.0);
        // At the edge it goes the other way rather than nowhere.
        let down = (step < 0.0 && *gene > 0) || *gene + 1 == levels;
        let moved = if down { *gene as f64 - size } else { *gene as f64 + size };
        *gene = moved.clamp(0.0, (levels - 1) as f64) as usize;
    }
    genome
}

#[cfg(test)]
mod tests;
