//! `cargo xtask`: set-up, demo, tests, boards.
fn main() {}
