//! Times tract and rten on ONNX files, one thread each.
//!
//! Reads one job for each line of standard input and answers each with one line of JSON, as `peers.py` beside it does:
//! job `{"peer", "network", "dtype", "file", "input", "shape", "ms"}`, answer `{"peer", "version", "network", "dtype",
//! "ns_min", "ns_median", "argmax"}`, or `"absent"` and the reason in place of the numbers. A network stays loaded, so
//! that the caller can let contenders take turns. The caller pins the process to a CPU.

mod peer;
mod timer;

use peer::Peer;
use rten::ThreadPool;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Anything that keeps a peer from an answer.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    // All work is done on the pool's one thread: rten then starts there instead of handing each run over.
    let pool = Arc::new(ThreadPool::with_num_threads(1));
    pool.run(|| serve(&pool))
}

/// Answers until the input ends.
fn serve(pool: &Arc<ThreadPool>) -> Result<()> {
    let mut loaded = HashMap::new();
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let job: Value = serde_json::from_str(&line?)?;
        // A peer may panic on a file that it does not know: that is its result, not the end of the others.
        let answered = catch_unwind(AssertUnwindSafe(|| answer(&job, &mut loaded, pool)));
        let mut answer = match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(e)) => json!({"absent": e.to_string()}),
            Err(_) => json!({"absent": "it panicked"}),
        };
        for key in ["peer", "network", "dtype"] {
            answer[key] = job[key].clone();
        }
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

/// One turn of a peer with a network, which the first turn loads.
fn answer(job: &Value, loaded: &mut HashMap<String, Box<dyn Peer>>, pool: &Arc<ThreadPool>) -> Result<Value> {
    let text = |key: &str| job[key].as_str().ok_or_else(|| format!("the job lacks `{key}`"));
    let key = format!("{} {} {}", text("peer")?, text("network")?, text("dtype")?);
    if !loaded.contains_key(&key) {
        let shape: Vec<usize> =
            job["shape"].as_array().into_iter().flatten().filter_map(Value::as_u64).map(|d| d as usize).collect();
        let input: Vec<f32> = std::fs::read(text("input")?)?
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        loaded.insert(key.clone(), peer::load(text("peer")?, text("file")?, &shape, input, pool)?);
    }
    let peer = loaded.get_mut(&key).ok_or("the network is not loaded")?;
    let (least, median) = timer::time(Duration::from_millis(job["ms"].as_u64().unwrap_or(30)), || peer.run())?;
    let output = peer.output()?;
    let argmax = (0..output.len()).rev().max_by(|&a, &b| output[a].total_cmp(&output[b]));
    Ok(json!({"version": peer.version(), "ns_min": least, "ns_median": median, "argmax": argmax}))
}
