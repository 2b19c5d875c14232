//! How much longer pruning takes for many groups than for two: the same steps with groups by gender (2 in MotionSense), by
//! subject (15 of the 24 are in `train`), and with 24 groups dealt over the rows, in turns; and the ratios of the
//! shortest times.
//!
//! `cargo run -p evenkeel --example group_cost -- har_cnn.onnx motionsense.npz [METHOD]`

use evenkeel::chain::{Prepared, load_network};
use evenkeel::contract::{Contract, InputNorm};
use evenkeel::data::GroupSet;
use evenkeel::data::groups::Group;
use evenkeel::net::{Split, device};
use evenkeel::progress::Stop;
use evenkeel::prune::select::Frame;
use evenkeel::prune::{Options, prune};
use std::path::Path;
use std::time::Instant;

/// Groups that each hold every so manieth row.
fn dealt(rows: usize, groups: usize) -> GroupSet {
    let group = |g: usize| Group { name: format!("dealt={g}"), rows: (g..rows).step_by(groups).collect() };
    GroupSet {
        groups: (0..groups).map(group).collect(),
        of_row: (0..rows).map(|i| vec![(i % groups) as u32]).collect(),
    }
}

/// Times that each is measured.
const TURNS: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (model, data) = match args.as_slice() {
        [model, data, ..] => (Path::new(model), Path::new(data)),
        _ => return Err("which network, and which data?".into()),
    };
    let dense = load_network(model)?;
    let options = Options {
        method: args.get(2).map_or("default", String::as_str).parse()?,
        steps: 3,
        tune: 20,
        recover: 100,
        batch: 64,
        rate: 2e-3,
        round_to: 4,
        min_share: 0.125,
        restore_norm: true,
        blocks: None,
        seed: 0,
        device: device("cpu")?,
    };
    let contract =
        Contract::parse("[fairness]\ngroups = [\"gender\"]\nmax_excess_drop = 0.02\n[budget]\nmacs = \"25%\"\n")?;
    let load = |column: &str| Prepared::load(data, &dense, &InputNorm::default(), &[column.to_owned()]);
    let (gender, subject) = (load("gender")?, load("subject")?);
    let (train, select) = (&gender.train, &gender.select);
    let cases = [
        ("gender", gender.train_groups, gender.select_groups),
        ("subject", subject.train_groups, subject.select_groups),
        ("dealt", dealt(train.len(), 24), dealt(select.len(), 24)),
    ];
    let mut shortest = [f64::INFINITY; 3];
    for _ in 0..TURNS {
        for ((name, of_train, of_select), shortest) in cases.iter().zip(&mut shortest) {
            let train = Split { set: train, groups: of_train };
            let selection = Split { set: select, groups: of_select };
            let begun = Instant::now();
            prune(&dense, train, selection, &contract, &options, &Frame::default(), &Stop::default())?;
            let seconds = begun.elapsed().as_secs_f64();
            *shortest = shortest.min(seconds);
            println!("{name}: {} groups, {seconds:.1} s", of_train.groups.len());
        }
    }
    let [two, subjects, many] = shortest;
    println!("subject to gender {:.3}, 24 groups to gender {:.3}", subjects / two, many / two);
    Ok(())
}
