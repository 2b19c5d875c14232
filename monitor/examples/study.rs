//! Simulates the monitor's promises and prints the page; `-o FILE` writes it too; `--short` takes a twentieth of the
//! time. Fails when a cell is beyond its bound.

use std::process::ExitCode;
use std::time::Instant;

use evenkeel_monitor::simulate::{Size, study};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (size, file) = match args[..] {
        [] => (Size::FULL, None),
        ["--short"] => (Size::SHORT, None),
        ["-o", file] => (Size::FULL, Some(file)),
        _ => {
            eprintln!("study [--short | -o FILE]");
            return ExitCode::FAILURE;
        }
    };
    let start = Instant::now();
    let page = match study(size, |section| eprintln!("{section}({} s)\n", start.elapsed().as_secs())) {
        Ok(page) => page,
        Err(e) => {
            eprintln!("study: {e}");
            return ExitCode::FAILURE;
        }
    };
    println!("{}", page.text);
    if let Some(file) = file
        && let Err(e) = std::fs::write(file, &page.text)
    {
        eprintln!("study: cannot write {file}: {e}");
        return ExitCode::FAILURE;
    }
    if page.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
