//! Sorting against brute force, and fronts that are known.

use super::*;
use proptest::prelude::*;

/// Points with few values, so that ties are common.
fn points() -> impl Strategy<Value = Vec<Vec<f64>>> {
    (1usize..4).prop_flat_map(|objectives| {
        prop::collection::vec(prop::collection::vec((0..6u8).prop_map(f64::from), objectives), 1..40)
    })
}

/// The definition: peel off what nothing that is left dominates.
fn peeled(points: &[Vec<f64>]) -> Vec<Vec<usize>> {
    let mut left: Vec<usize> = (0..points.len()).collect();
    let mut fronts = Vec::new();
    while !left.is_empty() {
        let free = |i: &usize| !left.iter().any(|&j| dominates(&points[j], &points[*i]));
        let front: Vec<usize> = left.iter().copied().filter(free).collect();
        left.retain(|i| !front.contains(i));
        fronts.push(front);
    }
    fronts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn fronts_are_what_is_left_undominated(points in points()) {
        prop_assert_eq!(fronts(&points), peeled(&points));
    }

    #[test]
    fn survivors_are_of_the_first_fronts_and_keep_the_ends(points in points(), count in 1usize..40) {
        let live = survivors(&points, count);
        prop_assert_eq!(live.len(), count.min(points.len()));
        let fronts = peeled(&points);
        let rank = |i: usize| fronts.iter().position(|f| f.contains(&i)).unwrap();
        let worst = live.iter().map(|&i| rank(i)).max().unwrap();
        for front in &fronts[..worst] {
            prop_assert!(front.iter().all(|i| live.contains(i)));
        }
        // Of a first front that fits with its ends, the smallest and the largest value of every objective stay.
        let first = &fronts[0];
        if count >= (2 * points[0].len()).min(first.len()) {
            let value = |of: &[usize], m: usize, pick: fn(f64, f64) -> f64| {
                of.iter().map(|&i| points[i][m]).reduce(pick).unwrap()
            };
            let stay: Vec<usize> = live.iter().copied().filter(|i| first.contains(i)).collect();
            let same = |m: usize, pick: fn(f64, f64) -> f64| value(first, m, pick) == value(&stay, m, pick);
            prop_assert!((0..points[0].len()).all(|m| same(m, f64::min) && same(m, f64::max)));
        }
    }

    #[test]
    fn children_stay_within_their_levels(seed: u64, levels in prop::collection::vec(1usize..9, 1..12)) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let any = |rng: &mut ChaCha8Rng| -> Genome { levels.iter().map(|&l| rng.random_range(0..l)).collect() };
        let (a, b) = (any(&mut rng), any(&mut rng));
        let child = mutated(crossed(&a, &b, &levels, &mut rng), &levels, &mut rng);
        prop_assert!(child.iter().zip(&levels).all(|(gene, levels)| gene < levels));
        prop_assert_eq!(crossed(&a, &a, &levels, &mut rng), a);
    }
}

#[test]
fn crowding_is_the_distance_between_neighbours() {
    let points = [[0.0, 4.0], [1.0, 2.0], [3.0, 1.0], [4.0, 0.0]].map(|p| p.to_vec());
    let alone = crowding(&points, &[0, 1, 2, 3]);
    assert_eq!(alone, [f64::INFINITY, 3.0 / 4.0 + 3.0 / 4.0, 3.0 / 4.0 + 2.0 / 4.0, f64::INFINITY]);
    // Without width, an objective tells nobody apart.
    assert_eq!(crowding(&[vec![1.0], vec![1.0], vec![1.0]], &[0, 1, 2]), [f64::INFINITY, 0.0, f64::INFINITY]);
    assert_eq!(crowding(&[vec![1.0, 2.0]], &[0]), [f64::INFINITY]);
}

/// ZDT1 on a grid: its front is `f2 = 1 - sqrt(f1)` with all genes but the first at zero.
fn zdt1(genome: &Genome) -> Vec<f64> {
    let x: Vec<f64> = genome.iter().map(|&g| g as f64 / 100.0).collect();
    let g = 1.0 + 9.0 * x[1..].iter().sum::<f64>() / (x.len() - 1) as f64;
    vec![x[0], g * (1.0 - (x[0] / g).sqrt())]
}

/// All that is evaluated, in order.
fn run(how: Evolution, limit: usize) -> Vec<(Genome, Vec<f64>)> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let start = (0..how.population).map(|_| (0..8).map(|_| rng.random_range(0..101)).collect()).collect();
    let mut all = Vec::new();
    evolve(
        how,
        &[101; 8],
        start,
        |genome, _| Ok(genome),
        |genome| {
            let point = zdt1(genome);
            all.push((genome.clone(), point.clone()));
            Ok((all.len() < limit).then_some(point))
        },
    )
    .unwrap();
    all
}

#[test]
fn the_front_of_zdt1_is_reached() {
    let all = run(Evolution { population: 40, generations: 120, seed: 1 }, usize::MAX);
    let points: Vec<Vec<f64>> = all.iter().map(|(_, p)| p.clone()).collect();
    let front = &fronts(&points)[0];
    let off = |&i: &usize| points[i][1] - (1.0 - points[i][0].sqrt());
    assert!(front.iter().map(off).fold(0.0, f64::max) < 0.05);
    // It is covered: no two neighbours are further apart than a tenth of its width.
    let mut across: Vec<f64> = front.iter().map(|&i| points[i][0]).collect();
    across.sort_by(f64::total_cmp);
    assert!(across[0] < 0.05 && across[across.len() - 1] > 0.95, "{across:?}");
    assert!(across.windows(2).all(|w| w[1] - w[0] < 0.1), "{across:?}");
}

#[test]
fn a_longer_search_begins_as_a_shorter_one_and_stops_where_asked() {
    let how = Evolution { population: 12, generations: 6, seed: 9 };
    let whole = run(how, usize::MAX);
    assert_eq!(run(Evolution { generations: 3, ..how }, usize::MAX), whole[..48]);
    assert_eq!(run(how, 30), whole[..30]);
    assert_ne!(run(Evolution { seed: 10, ..how }, usize::MAX), whole);
    let distinct: HashSet<&Genome> = whole.iter().map(|(genome, _)| genome).collect();
    assert_eq!(distinct.len(), whole.len(), "nothing is evaluated twice");
}

#[test]
fn a_space_that_is_used_up_ends_the_search() {
    let mut all = Vec::new();
    let how = Evolution { population: 8, generations: 20, seed: 1 };
    evolve(
        how,
        &[2, 3, 1],
        vec![vec![1, 2, 0]],
        |genome, _| Ok(genome),
        |genome| {
            all.push(genome.clone());
            Ok(Some(vec![genome[0] as f64]))
        },
    )
    .unwrap();
    assert!(all.len() <= 6 && all.len() >= 4, "{all:?}");
    // Without anything to start from there is nothing to do.
    evolve(how, &[2], vec![], |genome, _| Ok(genome), |_| panic!("nothing to evaluate")).unwrap();
}
