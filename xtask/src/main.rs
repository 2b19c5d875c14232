//! `cargo xtask`: set-up, demo, tests, firmware, benches. Each command says what it does and installs what is
//! missing, or prints the one command that does.

mod aarch64;
mod bench;
mod c_library;
mod demo;
mod examples;
mod firmware;
mod golden;
mod networks;
mod peers;
mod python;
mod second_opinion;
mod setup;
mod sh;
mod study;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <command>

  demo              set-up, then the whole chain on synthetic data: train, prune under a contract, verdict,
                    report, the firmware in the emulator with its monitor
  test              set-up, then formatting, lints, docs, and every test, emulated firmware included
  firmware          builds the firmware of both emulated boards and the program for AArch64 into target/firmware
  aarch64           builds that program and runs the runtime's tests on three emulated AArch64 cores
  c-library [TARGET] the static library and header for C into target/c/TARGET (default thumbv7em-none-eabihf;
                    host for this machine)
  header            makes runtime/capi/evenkeel.h anew
  examples          builds the firmwares and the host program of examples/, and runs the firmwares
  bench [FLAGS]     instructions of the MLPerf Tiny networks and the networks of ../shared on emulated Cortex-M4,
                    Cortex-M55 and AArch64 cores, sizes, and times on this host beside its peers. --layers: each layer
                    too; --no-peers: no times; --accept: write the counts that tests hold kernels to
  study [FLAGS]     every method of `evenkeel methods` and some sums on three data sets over budgets and seeds, and the
                    constraint on synthetic sets of 2, 7 and 24 groups (--cases sites --budgets 10); what is there
                    already in target/study is not run again. --cases, --methods, --budgets (50,25,10): lists with commas; --seeds: 5 (0 to 4), 5-9 or 1,3; --jobs N at a time (2); --schedule STEPS,TUNE,RECOVER;
                    --binary FILE: the command to run; --dir FOLDER; --retry: what failed, again.
                    study page: docs/study.md from the results; study verdict: docs/verdict.md;
                    study monitor: docs/monitor.md, false alarms, run lengths and delays of the monitor
  peers [ROUNDS]    time of one inference on this host against ONNX Runtime, LiteRT, tract and rten (default 7 rounds;
                    needs python3 and the registries of Python and Rust)
  second-opinion    the networks of ../shared through burn-candle in f32: agreement and latency
  fuzz [MINUTES]    every fuzz target for that long (default 10; needs a nightly compiler and cargo-fuzz)
  golden            the values of fairlearn, AIF360 and scikit-learn that fairness metrics are tested against, made
                    anew (needs python3 and the registry of Python)
  deny              licences and bans of all dependencies (needs cargo-deny)
  setup             only the set-up";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |default: u64| args.get(1).map_or(Ok(default), |a| a.parse().map_err(|_| format!("`{a}` is no number")));
    let done = match args.first().map(String::as_str) {
        Some("demo") => demo::demo(),
        Some("test") => test::test(),
        Some("firmware") => firmware::build().and_then(|_| aarch64::build()).map(drop),
        Some("aarch64") => aarch64::setup().and_then(|()| aarch64::build()).and_then(|_| aarch64::test()),
        Some("c-library") => c_library::build(args.get(1).map_or(c_library::BOARD, String::as_str)).map(drop),
        Some("header") => c_library::header(),
        Some("examples") => examples::examples(),
        Some("bench") => bench::bench(&args[1..]),
        Some("study") => study::study(&args[1..]),
        Some("peers") => number(7).and_then(peers::peers),
        Some("second-opinion") => second_opinion::second_opinion(),
        Some("fuzz") => number(10).and_then(test::fuzz),
        Some("deny") => test::deny(),
        Some("golden") => golden::golden(),
        Some("setup") => setup::all(),
        Some("help" | "-h" | "--help") | None => {
            println!("{HELP}");
            Ok(())
        }
        Some(other) => Err(format!("there is no command `{other}`\n\n{HELP}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xtask: {e}");
            ExitCode::FAILURE
        }
    }
}
