//! A synthetic sensor data set: four movements, seen by an accelerometer on the wrist of most people and on the
//! ankle of few. It exists so that the whole chain runs without a download. It is no model of real movement.
//!
//! People differ in strength, tempo and mounting angle. On the ankle the signal is weaker, the tempo lower (so
//! that one movement's tempo gets close to another's) and a second oscillation interferes: a network that learns
//! from mostly wrists is worse on ankles. Two convolutions of 16 and 32 channels reach about 0.97 on the wrists
//! and 0.86 to 0.92 on the ankles of the test split, depending on the seed.

use super::npz::{Parts, Values};
use crate::error::{Error, Result};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::f64::consts::TAU;

/// Axes of the sensor.
pub const CHANNELS: usize = 3;
/// Samples of one window.
pub const SAMPLES: usize = 64;
/// Samples per second.
pub const RATE_HZ: f64 = 32.0;
/// The movements, by class index.
pub const CLASSES: [&str; 4] = ["walk", "run", "cycle", "gesture"];

/// Smallest step of the sensor in g. Rounding to it also hides the last bits in which the mathematical functions
/// of two platforms differ.
const STEP: f64 = 1.0 / 1024.0;

/// Size and seed of the set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynthSpec {
    /// People (at least 6). Of 24, 12 are in train, 5 in val and 7 in test; 2, 1 and 2 of them wear it on the ankle.
    pub subjects: usize,
    /// Where it is worn: 2 for wrist and ankle. Of more sites, every second is as hard as the ankle, each turned by an angle of
    /// its own; all hard ones together have the ankle's share of the people.
    pub sites: usize,
    /// Windows of each, the classes in turn (at least one of each class).
    pub rows_per_subject: usize,
    /// Seed of everything random.
    pub seed: u64,
}

impl Default for SynthSpec {
    fn default() -> Self {
        SynthSpec { subjects: 24, sites: 2, rows_per_subject: 352, seed: 1 }
    }
}

/// What sets one person's recordings apart.
struct Subject {
    /// Worn at a hard site.
    hard: bool,
    /// Factor on the signal.
    strength: f64,
    /// Factor on every frequency.
    tempo: f64,
    /// Mounting angle around the third axis, radians.
    angle: f64,
    /// Standard deviation of the noise, g.
    noise: f64,
}

/// Makes the set: columns `site` (wrist and ankle, or `site00` and so on), `age_band` and `subject`, split by subject.
///
/// # Errors
/// Says which size of `spec` is too small or too large.
pub fn generate(spec: &SynthSpec) -> Result<Parts> {
    let range = |name: &str, v: usize, lo: usize, hi: usize| {
        if (lo..=hi).contains(&v) {
            Ok(())
        } else {
            Err(Error::new(format!("{name} = {v} is out of range")).help(format!("choose a number from {lo} to {hi}")))
        }
    };
    range("subjects", spec.subjects, 6, 10_000)?;
    let most = (spec.subjects / 12 + 1).max(2);
    if !(2..=most).contains(&spec.sites) {
        return Err(Error::new(format!("sites = {} is out of range", spec.sites))
            .help(format!("choose a number from 2 to {most}; every 12 subjects more allow one more")));
    }
    range("rows per subject", spec.rows_per_subject, CLASSES.len(), 10_000)?;
    range("all rows", spec.subjects * spec.rows_per_subject, 1, 2_000_000)?;

    let mut parts = Parts {
        sample: vec![CHANNELS, SAMPLES],
        x: Vec::with_capacity(spec.subjects * spec.rows_per_subject * CHANNELS * SAMPLES),
        y: Vec::new(),
        split: Vec::new(),
        columns: Vec::new(),
    };
    let (mut site, mut age, mut subject) = (Vec::new(), Vec::new(), Vec::new());
    for (id, (split, place)) in seats(spec.subjects, spec.sites).into_iter().enumerate() {
        // A stream for each person: more rows of one leave all others as they are.
        let mut rng = ChaCha8Rng::seed_from_u64(spec.seed);
        rng.set_stream(id as u64 + 1);
        let band = id % AGE_BANDS.len();
        let person = Subject::new(place, spec.sites, band, &mut rng);
        for row in 0..spec.rows_per_subject {
            let class = row % CLASSES.len();
            parts.x.extend(window(class, &person, &mut rng));
            parts.y.push(class);
            parts.split.push(split);
            site.push(site_name(place, spec.sites));
            age.push(AGE_BANDS[band].to_owned());
            subject.push(id as i64);
        }
    }
    parts.columns = vec![
        ("site".into(), Values::Text(site)),
        ("age_band".into(), Values::Text(age)),
        ("subject".into(), Values::Int(subject)),
    ];
    Ok(parts)
}

const AGE_BANDS: [&str; 3] = ["18to39", "40to64", "65plus"];

/// The site of a number: even ones are easy, odd ones hard.
fn site_name(place: usize, sites: usize) -> String {
    match (sites, place) {
        (2, 0) => "wrist".to_owned(),
        (2, _) => "ankle".to_owned(),
        _ => format!("site{place:02}"),
    }
}

/// Split and site of every subject. A fifth wears it at a hard site, and in each split at least one at each; the test split
/// rounds up, because a verdict on the smaller groups needs rows.
fn seats(subjects: usize, sites: usize) -> Vec<(&'static str, usize)> {
    let val = (subjects * 5 / 24).max(2);
    let test = (subjects * 7 / 24).max(2);
    let train = subjects - val - test;
    let hard_sites = sites / 2;
    let seat = |split, n: usize, hard: usize| {
        let easy = n - hard.max(hard_sites);
        (0..n).map(move |i| (split, if i < easy { i % sites.div_ceil(2) * 2 } else { (i - easy) % hard_sites * 2 + 1 }))
    };
    seat("train", train, train / 5)
        .chain(seat("val", val, val / 5))
        .chain(seat("test", test, test.div_ceil(5)))
        .collect()
}

impl Subject {
    fn new(place: usize, sites: usize, band: usize, rng: &mut impl Rng) -> Self {
        let hard = place % 2 == 1;
        let (weaker, slower) = if hard { (0.82, 0.97) } else { (1.0, 1.0) };
        // Hard sites are evenly turned away from each other, the first not at all.
        let turn = if hard { TAU * (place / 2) as f64 / (sites / 2) as f64 } else { 0.0 };
        Subject {
            hard,
            strength: weaker * (0.08 * normal(rng)).exp(),
            // Older people move a little slower.
            tempo: slower * (1.03 - 0.03 * band as f64) * (0.02 * normal(rng)).exp(),
            angle: turn + 0.15 * normal(rng),
            noise: 0.58 * (0.1 * normal(rng)).exp(),
        }
    }
}

/// One window of a person's movement, `channels × samples`, in g.
fn window(class: usize, who: &Subject, rng: &mut impl Rng) -> Vec<f32> {
    let tempo = who.tempo * (0.1 * normal(rng)).exp();
    let strength = who.strength * (0.15 * normal(rng)).exp();
    let phase = rng.random_range(0.0..TAU);
    let burst = rng.random_range(0.4..1.6);
    let other = (rng.random_range(2.0..6.0), rng.random_range(0.0..TAU), rng.random_range(0.2..0.5));
    let (sin, cos) = who.angle.sin_cos();
    let mut axes = [[0f64; SAMPLES]; CHANNELS];
    for i in 0..SAMPLES {
        let t = i as f64 / RATE_HZ;
        let [a, b, c] = movement(class, t, tempo, phase, burst);
        let mixed = [cos * a - sin * b, sin * a + cos * b, c];
        for (axis, m) in axes.iter_mut().zip(mixed) {
            axis[i] = strength * m + who.noise * normal(rng);
        }
        if who.hard {
            let (hz, shift, size) = other;
            let v = size * (TAU * hz * t + shift).sin();
            axes[0][i] += v;
            axes[2][i] -= 0.7 * v;
        }
    }
    let sensor = |v: &f64| ((v.clamp(-8.0, 8.0) / STEP).round() * STEP) as f32;
    axes.as_flattened().iter().map(sensor).collect()
}

/// The clean movement at time `t`: forward, sideways, up.
fn movement(class: usize, t: f64, tempo: f64, phase: f64, burst: f64) -> [f64; 3] {
    let turn = |hz: f64| TAU * hz * tempo * t + phase;
    match class {
        // Two steps of unequal weight.
        0 => {
            let w = turn(1.7);
            [0.6 * w.sin(), 0.25 * (0.5 * w).sin(), 0.7 * (w + 1.2).sin() + 0.3 * (2.0 * w).sin()]
        }
        // Faster, with a hard landing.
        1 => {
            let w = turn(2.4);
            [0.7 * w.sin(), 0.2 * (0.5 * w).sin(), 0.8 * (w + 1.2).sin() + 0.45 * (2.0 * w + 0.5).sin()]
        }
        // A circle.
        2 => {
            let w = turn(1.25);
            [0.7 * w.sin(), 0.3 * w.cos(), 0.6 * w.cos()]
        }
        // A short shake somewhere in the window.
        _ => {
            let w = turn(3.6);
            let envelope = (-0.5 * ((t - burst) / 0.35).powi(2)).exp();
            [envelope * w.sin(), 0.6 * envelope * (w + 0.8).sin(), 0.3 * envelope * w.cos()]
        }
    }
}

/// A standard normal number (Box and Muller, 1958).
fn normal(rng: &mut impl Rng) -> f64 {
    let u: f64 = 1.0 - rng.random::<f64>();
    let v: f64 = rng.random();
    (-2.0 * u.ln()).sqrt() * (TAU * v).cos()
}

/// Degrades one sample `[C, L]` (or any other; the last dimension is time) as a failing sensor does, with
/// `strength` from 0 (nothing) to 1: the gain sinks to 40 %, noise rises to the signal's own size, and up to
/// half of the time the reading hangs at its last value.
pub fn degrade(row: &mut [f32], sample: &[usize], strength: f32, rng: &mut impl Rng) {
    let strength = if strength.is_finite() { strength.clamp(0.0, 1.0) } else { 0.0 };
    let length = sample.last().copied().unwrap_or(1).max(1);
    if strength == 0.0 || row.is_empty() {
        return;
    }
    let rms = (row.iter().map(|v| v * v).sum::<f32>() / row.len() as f32).sqrt();
    for channel in row.chunks_mut(length) {
        for v in channel.iter_mut() {
            *v = *v * (1.0 - 0.6 * strength) + rms * strength * normal(rng) as f32;
        }
        // Runs of an eighth of the window, which begin so often that they cover up to half of it.
        let run = (length / 8).max(1);
        let start = strength as f64 / run as f64;
        let mut i = 1;
        while i < channel.len() {
            if rng.random_bool(start.min(1.0)) {
                let end = (i + run).min(channel.len());
                let held = channel[i - 1];
                channel[i..end].fill(held);
                i = end;
            } else {
                i += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{load_bytes, parse_groups, to_bytes};

    fn rng(seed: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(seed)
    }

    #[test]
    fn the_set_is_balanced_split_by_subject_and_repeats() {
        let spec = SynthSpec::default();
        let parts = generate(&spec).unwrap();
        let bytes = to_bytes(&parts).unwrap();
        assert_eq!(bytes, to_bytes(&generate(&spec).unwrap()).unwrap());
        assert_ne!(parts.x, generate(&SynthSpec { seed: 2, ..spec }).unwrap().x);
        let d = load_bytes(&bytes).unwrap();
        let test = d.verdict.open();
        assert_eq!((d.train.len(), d.select.len(), test.len()), (12 * 352, 5 * 352, 7 * 352));
        let mut people = 0;
        for (rows, ankles) in [(&d.train, 2), (&d.select, 1), (&test, 2)] {
            assert_eq!(rows.class_counts(), [rows.len() / 4; 4]);
            let g = parse_groups(rows, &["site".into(), "subject".into(), "age_band".into()]).unwrap();
            assert_eq!((g.groups[0].name.as_str(), g.groups[0].rows.len()), ("site=ankle", ankles * 352));
            people += g.of_entry(1).len();
            assert_eq!(g.of_entry(2).len(), 3);
        }
        assert_eq!(people, 24, "nobody is in two splits");
    }

    #[test]
    fn sizes_are_checked_and_small_sets_have_both_sites_everywhere() {
        for spec in [
            SynthSpec { subjects: 5, ..Default::default() },
            SynthSpec { rows_per_subject: 3, ..Default::default() },
            SynthSpec { subjects: 9999, rows_per_subject: 9999, ..Default::default() },
            SynthSpec { sites: 1, ..Default::default() },
            SynthSpec { sites: 4, ..Default::default() },
        ] {
            assert!(generate(&spec).unwrap_err().to_string().contains("out of range"), "{spec:?}");
        }
        let d = load_bytes(
            &to_bytes(&generate(&SynthSpec { subjects: 6, rows_per_subject: 4, ..Default::default() }).unwrap())
                .unwrap(),
        )
        .unwrap();
        for rows in [d.train, d.select, d.verdict.open()] {
            assert_eq!(parse_groups(&rows, &["site".into()]).unwrap().groups.len(), 2);
        }
    }

    /// Every split has every site, easy and hard ones, as many people at hard sites as with two.
    #[test]
    fn sites_are_many() {
        for (subjects, sites) in [(84, 7), (288, 24), (276, 24)] {
            let spec = SynthSpec { subjects, sites, rows_per_subject: 4, seed: 3 };
            let d = load_bytes(&to_bytes(&generate(&spec).unwrap()).unwrap()).unwrap();
            for rows in [d.train, d.select, d.verdict.open()] {
                let g = parse_groups(&rows, &["site".into()]).unwrap();
                assert_eq!(g.groups.len(), sites);
                let hard = g.groups.iter().skip(1).step_by(2).map(|g| g.rows.len()).sum::<usize>();
                assert!((0.15..0.25).contains(&(hard as f64 / rows.len() as f64)), "{hard} of {}", rows.len());
            }
        }
    }

    /// Per channel the energy and its share in bands of 1 Hz up to 8 Hz, and the energy's spread over time.
    fn features(row: &[f32]) -> Vec<f64> {
        let mut out = Vec::new();
        for c in row.chunks(SAMPLES) {
            let energy: f64 = c.iter().map(|&v| (v * v) as f64).sum();
            out.push(energy.ln() * 0.2);
            out.extend((1..=16).map(|k| {
                let (mut re, mut im) = (0.0, 0.0);
                for (i, &v) in c.iter().enumerate() {
                    let (s, c) = (TAU * k as f64 * i as f64 / SAMPLES as f64).sin_cos();
                    re += v as f64 * c;
                    im += v as f64 * s;
                }
                ((re * re + im * im) / (energy * SAMPLES as f64)).sqrt()
            }));
            let parts = c.chunks(SAMPLES / 8).map(|p| p.iter().map(|&v| (v * v) as f64).sum::<f64>() / energy);
            out.push(parts.fold(0.0, f64::max));
        }
        out
    }

    /// Accuracy per site (ankle, wrist) of the nearest centroid on spectral features, trained on other people.
    #[test]
    fn a_simple_classifier_learns_it_and_is_worse_on_ankles() {
        let d = load_bytes(&to_bytes(&generate(&SynthSpec::default()).unwrap()).unwrap()).unwrap();
        let (train, test) = (d.train, d.verdict.open());
        let width = features(train.row(0)).len();
        let mut centroids = vec![vec![0.0; width]; CLASSES.len()];
        for i in 0..train.len() {
            for (c, f) in centroids[train.y[i]].iter_mut().zip(features(train.row(i))) {
                *c += f * CLASSES.len() as f64 / train.len() as f64;
            }
        }
        let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        let right = |i: usize| {
            let f = features(test.row(i));
            let nearest =
                (0..CLASSES.len()).min_by(|&a, &b| distance(&centroids[a], &f).total_cmp(&distance(&centroids[b], &f)));
            nearest == Some(test.y[i])
        };
        let g = parse_groups(&test, &["site".into()]).unwrap();
        let accuracy: Vec<f64> = g
            .groups
            .iter()
            .map(|g| g.rows.iter().filter(|&&i| right(i)).count() as f64 / g.rows.len() as f64)
            .collect();
        println!("nearest centroid: ankle {:.3}, wrist {:.3}", accuracy[0], accuracy[1]);
        assert!(accuracy[1] > 0.8 && accuracy[0] > 0.7, "{accuracy:?}");
        assert!(accuracy[1] > accuracy[0] + 0.03, "{accuracy:?}");
    }

    #[test]
    fn degrading_grows_with_its_strength() {
        let parts = generate(&SynthSpec::default()).unwrap();
        let clean = &parts.x[..CHANNELS * SAMPLES];
        let error = |strength| {
            let mut row = clean.to_vec();
            degrade(&mut row, &parts.sample, strength, &mut rng(5));
            assert!(row.iter().all(|v| v.is_finite()));
            row.iter().zip(clean).map(|(a, b)| (a - b).powi(2)).sum::<f32>()
        };
        assert_eq!((error(0.0), error(f32::NAN)), (0.0, 0.0));
        assert!(0.0 < error(0.2) && error(0.2) < error(0.6) && error(0.6) < error(1.0));
        assert_eq!(error(1.0), error(7.0));
        degrade(&mut [], &[], 1.0, &mut rng(1));
        let mut one = [1.0f32];
        degrade(&mut one, &[1], 1.0, &mut rng(1));
    }
}
