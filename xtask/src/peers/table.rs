//! The comparison as Markdown.

use super::{Contender, DTYPES, PEERS, Row};
use crate::networks::reference;

/// Prints times, then sizes, then who was absent and why.
pub fn print(rows: &[Row], rounds: u64, cpu: Option<u32>) {
    let pinned = cpu.map_or_else(String::new, |c| format!(", pinned to CPU {c}"));
    println!("\n{}, one thread{pinned}, {rounds} rounds: µs of one inference, median (least).\n", model());
    print!("| network | Evenkeel int8 | half of the blocks |");
    let columns = PEERS.iter().flat_map(|p| DTYPES.iter().map(move |d| format!(" {} {d} |", p.0)));
    println!("{} fastest peer | its time ÷ Evenkeel's | ÷ half of the blocks |", columns.collect::<String>());
    println!("| --- |{} --- | ---: | ---: |", " ---: |".repeat(2 + PEERS.len() * DTYPES.len()));
    for row in rows {
        print!("| {} | {} | {} |", row.network, cell(&row.evenkeel), cell(&row.half));
        row.peers.iter().for_each(|p| print!(" {} |", cell(p)));
        let fastest = row.fastest();
        let name = fastest.map_or_else(|| "–".into(), |(p, _)| format!("{} {}", p.name, p.dtype));
        let ratio = |own: &Contender| match (&fastest, &own.time) {
            (Some((_, time)), Ok(own)) => format!("{:.2}", time.median / own.median),
            _ => "–".into(),
        };
        println!(" {name} | {} | {} |", ratio(&row.evenkeel), ratio(&row.half));
    }
    if rows.iter().any(|r| r.peers.iter().any(|p| !p.right)) {
        println!("\n† the largest output is not where ONNX Runtime recorded it.");
    }
    sizes(rows);
    let mut absent: Vec<String> = Vec::new();
    for row in rows {
        for c in [&row.evenkeel, &row.half].into_iter().chain(&row.peers) {
            if let Err(reason) = &c.time {
                absent.push(format!("- {}: {} {} is absent: {reason}", row.network, c.name, c.dtype));
            }
        }
    }
    if !absent.is_empty() {
        println!("\n{}", absent.join("\n"));
    }
}

fn cell(c: &Contender) -> String {
    let mark = if c.right { "" } else { " †" };
    c.time.as_ref().map_or_else(|_| "absent".into(), |t| format!("{} ({}){mark}", micros(t.median), micros(t.min)))
}

/// Three digits are more than repeat.
fn micros(ns: f64) -> String {
    let us = ns / 1000.0;
    format!("{us:.*}", usize::from(us < 100.0) + usize::from(us < 10.0))
}

fn sizes(rows: &[Row]) {
    println!("\nBytes of the int8 file:\n");
    println!("| network | .keel | .tflite, written here | .tflite, published | .onnx |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    for row in rows {
        let of = |k: &str| row.bytes.get(k).map_or_else(|| "–".into(), u64::to_string);
        let published = reference(row.network).map_or_else(|| "–".into(), |r| r.tflite.to_string());
        println!("| {} | {} | {} | {published} | {} |", row.network, of("keel"), of("tflite"), of("onnx"));
    }
}

fn model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, n)| n.trim().to_owned())
}
