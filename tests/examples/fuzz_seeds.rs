//! Writes the seeds of the fuzz targets: `cargo run -p evenkeel-tests --example fuzz_seeds` (into `tests/fuzz/seeds`).
//!
//! Small and various: every operator of the importer and of the file, every section, every kind of column.

use common::wide::wide;
use evenkeel::contract::{Contract, InputNorm};
use evenkeel::couple::couple;
use evenkeel::data::{self, Normaliser, Parts, Values, parse_groups};
use evenkeel::error::{Context, Result};
use evenkeel::graph::Graph;
use evenkeel::lower::{Extras, Target, lower};
use evenkeel::net::{Set, device, zoo};
use evenkeel::prune::shrink::shrink;
use evenkeel::{certify, chain, onnx};
use evenkeel_runtime::format::Packing;
use std::path::Path;

#[path = "../../runtime/tests/common/mod.rs"]
mod common;

const CONTRACT: &str = r#"# No group may lose more than 5 points of accuracy beyond what everybody loses.
[fairness]
groups          = ["site", "band*site"]
metric          = "accuracy"
max_excess_drop = 0.05
max_gap         = 0.2
min_metric      = 0.5
confidence      = 0.95
cluster         = "subject"

[budget]
macs  = "40%"
flash = "32 KiB"
ram   = 8000

[input]
scale = 0.00390625
mean  = [0.5, 0.5]
std   = [0.25, 0.25]
"#;

fn main() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder = folder.join(target);
        std::fs::create_dir_all(&folder).at(&folder)?;
        std::fs::write(folder.join(name), bytes).at(&folder.join(name))
    };

    write("contract", "full", CONTRACT.as_bytes())?;
    for metric in ["recall:1", "fpr:0", "macro_recall"] {
        let text = format!("[fairness]\ngroups = ['g']\nmetric = \"{metric}\"\nmax_excess_drop = 1e-1\n");
        write("contract", &metric.replace(':', "-"), text.as_bytes())?;
    }

    // A first byte that is even stands for bytes as they are, one that is odd for parts to be put together.
    let set = parts();
    let archive = data::to_bytes(&set)?;
    write("npz", "archive", &[&[0][..], &archive].concat())?;
    let mut members = vec![1];
    for array in stored(&archive) {
        write("npz", &format!("array-{}", array.len()), &[&[0][..], array].concat())?;
        members.extend((array.len() as u16).to_le_bytes());
        members.extend(array);
    }
    write("npz", "members", &members)?;

    let data = data::load_bytes(&archive)?;
    let contract = Contract::parse(CONTRACT)?;
    let groups = parse_groups(&data.select, &contract.fairness.groups)?;
    for (arch, sample) in
        [("cnn1d", &[2, 16][..]), ("dscnn1d", &[2, 16]), ("resnet1d", &[2, 16]), ("resnet8", &[1, 8, 8]), ("mlp", &[6])]
    {
        let graph = thin(&zoo::build(arch, sample, 3, 1)?)?;
        write("onnx", arch, &onnx::to_bytes(&graph)?)?;
        let x: Vec<f32> = (0..4 * graph.input_shape().len()).map(|i| (i * 37 % 64) as f32 / 32.0 - 1.0).collect();
        let input = InputNorm::default();
        let calibration = Set::from_array(sample, &x, &Normaliser::new(&input, sample)?, &graph)?;
        let q =
            chain::quantised(&evenkeel::graph::norm::fold_batch_norm(graph), &calibration, &input, &device("cpu")?)?;
        let extras = if arch == "cnn1d" {
            certify::blank(&contract, &groups, q.nodes[q.output].shape.len())?
        } else {
            Extras::default()
        };
        write("keel", arch, &[&[1][..], &lower(&q, &extras, Target::Portable)?.bytes].concat())?;
    }
    // What networks of the zoo do not have, in every packing.
    for packing in Packing::ALL {
        write("keel", packing.name(), &[&[1][..], &wide(packing).to_bytes()].concat())?;
    }
    Ok(())
}

/// The network with two channels left wherever channels can go.
fn thin(graph: &Graph) -> Result<Graph> {
    let coupling = couple(graph);
    let left = |c: &evenkeel::couple::Class| if c.frozen.is_some() { c.channels } else { 2 };
    let keep: Vec<Vec<usize>> = coupling.classes.iter().map(|c| (0..left(c)).collect()).collect();
    shrink(graph, &coupling, &keep)
}

/// Nine rows of 1 × 3 values.
fn parts() -> Parts {
    let rows = 9;
    let text = |of: [&str; 2]| Values::Text((0..rows).map(|i| of[i % 2].to_owned()).collect());
    Parts {
        sample: vec![1, 3],
        x: (0..rows * 3).map(|i| i as f32 / 4.0).collect(),
        y: (0..rows).map(|i| i % 3).collect(),
        split: (0..rows).map(|i| ["train", "val", "test"][i % 3]).collect(),
        columns: vec![
            ("site".into(), text(["wrist", "ankle"])),
            ("band".into(), text(["18-40", "40+"])),
            ("subject".into(), Values::Int((0..rows as i64).map(|i| i / 2).collect())),
        ],
    }
}

/// The members of an archive that is stored without compression.
fn stored(mut archive: &[u8]) -> Vec<&[u8]> {
    let mut members = Vec::new();
    while archive.starts_with(b"PK\x03\x04") {
        let word = |at: usize| u16::from_le_bytes([archive[at], archive[at + 1]]) as usize;
        let start = 30 + word(26) + word(28);
        let end = start + (word(18) | word(20) << 16);
        members.push(&archive[start..end]);
        archive = &archive[end..];
    }
    members
}
