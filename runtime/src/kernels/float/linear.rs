//! Fully connected: each weight is read once.

use super::Layer;
use super::dot::{ROWS, Sums};

/// Inputs that meet the rows of weights at a time, so that the buffer of converted weights stays small.
const CHUNK: usize = 64;

/// `y = clip(W x + bias)`.
pub fn linear(l: &Layer, x: &[f32], y: &mut [f32]) {
    let inputs = x.len();
    let mut buffer = [[0f32; CHUNK]; ROWS];
    for (group, (y, bias)) in y.chunks_mut(ROWS).zip(l.bias.chunks(ROWS)).enumerate() {
        let mut sums = [Sums::ZERO; ROWS];
        for (c, x) in x.chunks(CHUNK).enumerate() {
            for ((r, sums), buffer) in (0..y.len()).zip(&mut sums).zip(&mut buffer) {
                let first = (group * ROWS + r) * inputs + c * CHUNK;
                sums.add_one(x, l.weights.read(first, x.len(), buffer));
            }
        }
        for ((y, bias), sums) in y.iter_mut().zip(bias).zip(&sums) {
            *y = l.clip.apply(sums.of(0) + bias);
        }
    }
}
