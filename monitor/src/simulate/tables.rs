//! The prototype's figures: labelled events until the alarm, median and 90 % quantile.

use super::delays::{Pair, Quantiles};

/// Floor test from counts: floor, accuracy, α, figures.
pub const FLOOR: [(f64, f64, f64, Quantiles); 8] = [
    (0.95, 0.90, 0.05, [195.0, 431.0]),
    (0.90, 0.87, 0.05, [795.0, 1899.0]),
    (0.90, 0.85, 0.05, [335.0, 750.0]),
    (0.90, 0.85, 0.05 / 16.0, [570.0, 1040.0]),
    (0.90, 0.85, 1e-4, [872.0, 1421.0]),
    (0.90, 0.80, 0.05, [94.0, 208.0]),
    (0.80, 0.75, 0.05, [552.0, 1189.0]),
    (0.70, 0.65, 0.05, [700.0, 1463.0]),
];

/// Floor detector: healthy events before, accuracy after, figures.
pub const CHANGE: [(u32, f64, Quantiles); 5] = [
    (0, 0.85, [345.0, 706.0]),
    (5_000, 0.85, [317.0, 603.0]),
    (50_000, 0.85, [306.0, 620.0]),
    (50_000, 0.80, [119.0, 209.0]),
    (50_000, 0.88, [1159.0, 2357.0]),
];

/// A pair of groups.
const fn pair(others: f64, group: f64, share: f64) -> Pair {
    Pair { others, group, share }
}

/// Gap test with a tolerance of 2 points, α = 0.05.
pub const GAP: [(Pair, Quantiles); 6] = [
    (pair(0.90, 0.85, 0.50), [2320.0, 5173.0]),
    (pair(0.90, 0.85, 0.20), [1534.0, 3228.0]),
    (pair(0.90, 0.85, 0.05), [1211.0, 2768.0]),
    (pair(0.90, 0.80, 0.50), [381.0, 864.0]),
    (pair(0.90, 0.80, 0.20), [225.0, 569.0]),
    (pair(0.90, 0.80, 0.05), [198.0, 403.0]),
];

/// Gap test without tolerance: pair, α, figures.
pub const GAP_BARE: [(Pair, f64, Quantiles); 10] = [
    (pair(0.90, 0.85, 0.50), 0.05, [835.0, 1922.0]),
    (pair(0.90, 0.85, 0.20), 0.05, [563.0, 1140.0]),
    (pair(0.90, 0.85, 0.05), 0.05, [394.0, 931.0]),
    (pair(0.90, 0.87, 0.05), 0.05, [1050.0, 2416.0]),
    (pair(0.90, 0.80, 0.20), 0.05, [151.0, 355.0]),
    (pair(0.90, 0.80, 0.05), 0.05, [128.0, 268.0]),
    (pair(0.80, 0.75, 0.20), 0.05, [880.0, 1832.0]),
    (pair(0.90, 0.85, 0.50), 0.05 / 16.0, [1493.0, 2752.0]),
    (pair(0.90, 0.85, 0.20), 0.05 / 16.0, [999.0, 1661.0]),
    (pair(0.90, 0.85, 0.05), 0.05 / 16.0, [705.0, 1372.0]),
];

/// Gap detector: points of the gap, share of the group, median.
pub const GAP_CHANGE: [(u32, f64, f64); 6] =
    [(7, 0.05, 408.0), (7, 0.50, 760.0), (10, 0.05, 211.0), (10, 0.50, 395.0), (15, 0.05, 115.0), (15, 0.50, 194.0)];
