//! Nanoseconds of one call.

use crate::Result;
use std::time::{Duration, Instant};

/// Calls are timed in chunks of about this length: long against the clock, short against a scheduler's time slice.
const CHUNK: Duration = Duration::from_micros(200);

/// The fewest chunks.
const CHUNKS: usize = 5;

/// Least and median nanoseconds of one call, over chunks that take `budget` in all.
pub fn time(budget: Duration, mut call: impl FnMut() -> Result<()>) -> Result<(f64, f64)> {
    for _ in 0..3 {
        call()?;
    }
    let begin = Instant::now();
    call()?;
    let calls = (CHUNK.as_nanos() / begin.elapsed().as_nanos().max(1)).max(1);
    let mut chunks = Vec::new();
    while chunks.len() < CHUNKS || begin.elapsed() < budget {
        let start = Instant::now();
        for _ in 0..calls {
            call()?;
        }
        chunks.push(start.elapsed().as_nanos() as f64 / calls as f64);
    }
    chunks.sort_by(f64::total_cmp);
    Ok((chunks[0], chunks[chunks.len() / 2]))
}
