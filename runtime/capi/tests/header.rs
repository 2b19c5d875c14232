//! The committed header is the one that the source gives.

#[path = "../examples/header.rs"]
mod header;

#[test]
fn the_header_is_up_to_date() {
    let made = header::header().expect("a header");
    let committed = std::fs::read_to_string(header::place()).expect("the committed header");
    assert!(made == committed, "make it anew with `cargo xtask header`");
}
