//! Simulates the monitor's promises and prints the page; `-o FILE` writes it too. Fails when a cell is beyond its bound.

use std::process::ExitCode;
use std::time::Instant;

use evenkeel_monitor::simulate::{Size, study};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let file = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => None,
        ["-o", file] => Some(file.to_owned()),
        _ => {
            eprintln!("study [-o FILE]");
            return ExitCode::FAILURE;
        }
    };
    let start = Instant::now();
    let page = match study(Size::FULL, |section| eprintln!("{section}({} s)\n", start.elapsed().as_secs())) {
        Ok(page) => page,
        Err(e) => {
            eprintln!("study: {e}");
            return ExitCode::FAILURE;
        }
    };
    println!("{}", page.text);
    if let Some(file) = file
        && let Err(e) = std::fs::write(&file, &page.text)
    {
        eprintln!("study: cannot write {file}: {e}");
        return ExitCode::FAILURE;
    }
    if page.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
