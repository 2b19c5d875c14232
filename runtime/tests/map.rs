//! Mapped files.

mod common;

use evenkeel_runtime::Model;
use evenkeel_runtime::cast::MappedFile;

#[test]
fn a_mapped_file_is_a_model_and_an_empty_one_an_error() {
    let folder = std::env::temp_dir().join(format!("evenkeel-map-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let (good, empty) = (folder.join("good.keel"), folder.join("empty.keel"));
    let bytes = common::spec().to_bytes();
    std::fs::write(&good, &bytes).expect("written");
    std::fs::write(&empty, b"").expect("written");

    let mapped = MappedFile::open(&good).expect("mapped");
    assert_eq!(mapped.bytes(), bytes);
    assert!(Model::from_bytes(mapped.bytes()).is_ok());
    let error = MappedFile::open(&empty).expect_err("empty").to_string();
    assert!(error.contains("empty.keel is empty"), "{error}");
    assert!(MappedFile::open(&folder).is_err());
    assert!(MappedFile::open(folder.join("none.keel")).is_err());
    std::fs::remove_dir_all(&folder).expect("removed");
}
