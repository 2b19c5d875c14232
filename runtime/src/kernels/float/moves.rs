//! Operators that only move values: each value within the bounds of the operator.

use super::Clip;

/// Each pixel becomes `by[0] × by[1]` equal ones.
pub fn resize(input: [usize; 3], by: [usize; 2], clip: Clip, x: &[f32], y: &mut [f32]) {
    let [_, width, channels] = input;
    let out_width = width * by[1];
    for (position, y) in y.chunks_exact_mut(channels).enumerate() {
        let (row, column) = (position / out_width / by[0], position % out_width / by[1]);
        copy(clip, &x[(row * width + column) * channels..], y);
    }
}

/// The box of the input that begins at row, column and channel `first`, and has the output's shape.
pub fn slice(input: [usize; 3], output: [usize; 3], first: [usize; 3], clip: Clip, x: &[f32], y: &mut [f32]) {
    for (position, y) in y.chunks_exact_mut(output[2]).enumerate() {
        let (row, column) = (first[0] + position / output[1], first[1] + position % output[1]);
        copy(clip, &x[(row * input[1] + column) * input[2] + first[2]..], y);
    }
}

/// The input inside a border of `value`, of `pad` pixels above and to the left.
pub fn pad(input: [usize; 3], output: [usize; 3], pad: [usize; 2], value: f32, clip: Clip, x: &[f32], y: &mut [f32]) {
    y.fill(clip.apply(value));
    for (row, x) in x.chunks_exact(input[1] * input[2]).enumerate() {
        copy(clip, x, &mut y[((row + pad[0]) * output[1] + pad[1]) * output[2]..][..x.len()]);
    }
}

fn copy(clip: Clip, x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, &x)| *y = clip.apply(x));
}
