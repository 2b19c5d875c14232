//! `evenkeel export`: folders that firmware builds from, and ONNX for other runtimes.

mod common;

use common::Desk;

#[test]
fn exports_say_what_they_wrote_and_leave_other_files_alone() {
    let desk = Desk::with_network();
    desk.run("compile model.onnx --data set.npz --target cortex-m4 -o small.keel");
    let file = desk.read("small.keel");

    let c = desk.json("export small.keel --to c -o c");
    assert_eq!((c["bytes"].as_u64(), c["packing"].as_str()), (Some(file.len() as u64), Some("dsp")));
    assert!(desk.read("c/small.c").len() > file.len() && !desk.read("c/small.h").is_empty());

    desk.run("export small.keel --to rust -o crate --runtime ../../runtime");
    assert_eq!(desk.read("crate/small.keel"), file);
    let manifest = String::from_utf8(desk.read("crate/Cargo.toml")).expect("text");
    assert!(manifest.contains("path = \"../../runtime\""), "{manifest}");

    // What is in the folder stays, unless it is to be replaced.
    desk.refused("export small.keel --to rust -o c", &["c", "not empty", "--force"]);
    desk.run("export small.keel --to c -o c --force");
    desk.refused("export small.keel --to c -o new --runtime runtime", &["--runtime", "rust"]);
    desk.refused("export model.onnx --to c -o new", &["model.onnx", ".keel"]);
    assert!(!desk.files().contains(&"new".to_owned()));

    desk.run("export small.keel --to onnx -o onnx");
    let bytes = desk.read("onnx/small.onnx");
    assert!(bytes.windows(14).any(|w| w == b"QuantizeLinear"));
}
