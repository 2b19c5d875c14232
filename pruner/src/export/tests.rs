//! Exported text says what the model says.

use super::*;

fn facts(name: &str) -> Facts<'static> {
    Facts {
        name: name.into(),
        bytes: &[75, 69, 69, 76, 0, 255],
        crc: 0xdead_beef,
        packing: "portable",
        arena_len: 600,
        input_shape: [1, 64, 3],
        input_scale: (0.05, -3),
        output_len: 4,
        output_scale: (1e-9, 0),
        groups: vec!["site=wrist", "a\"\\\n1é?"],
    }
}

fn text<'a>(files: &'a [File], name: &str) -> &'a str {
    let file = files.iter().find(|(path, _)| path == Path::new(name)).expect(name);
    std::str::from_utf8(&file.1).expect("text")
}

#[test]
fn names_become_identifiers() {
    for (name, identifier) in
        [("model", "model"), ("HAR v2.1", "har_v2_1"), ("8bit", "model_8bit"), ("é", "model_"), ("_x_", "x")]
    {
        assert_eq!(facts(name).identifier(), identifier);
    }
}

#[test]
fn c_has_bytes_constants_and_groups() {
    let files = to_c(&facts("Har-1"));
    let (header, source) = (text(&files, "har_1.h"), text(&files, "har_1.c"));
    for line in [
        "#define HAR_1_LEN 6u",
        "#define HAR_1_ARENA_LEN 600u",
        "#define HAR_1_INPUT_WIDTH 64u",
        "#define HAR_1_INPUT_LEN 192u",
        "#define HAR_1_INPUT_SCALE 0.05f",
        "#define HAR_1_INPUT_ZERO (-3)",
        "#define HAR_1_OUTPUT_SCALE 1e-9f",
        "#define HAR_1_OUTPUT_LEN 4u",
        "#define HAR_1_GROUPS 2u",
        "extern const char *const har_1_groups[HAR_1_GROUPS];",
    ] {
        assert!(header.lines().any(|l| l == line), "{line}\n{header}");
    }
    assert!(source.contains("  75,69,69,76,0,255,\n"), "{source}");
    assert!(source.contains(r#"  "a\"\\\0121\303\251\?","#), "{source}");
    let without = to_c(&Facts { groups: vec![], ..facts("m") });
    assert!(!text(&without, "m.h").contains("_groups") && !text(&without, "m.c").contains("_groups"));
}

#[test]
fn rust_has_the_file_constants_and_groups() {
    let files = to_rust(&facts("Har-1"), Some(Path::new("../runtime")));
    let (manifest, library) = (text(&files, "Cargo.toml"), text(&files, "src/lib.rs"));
    let manifest: toml::Table = manifest.parse().expect("TOML");
    assert_eq!(manifest["package"]["name"].as_str(), Some("har_1"));
    assert_eq!(manifest["dependencies"]["evenkeel-runtime"]["path"].as_str(), Some("../runtime"));
    for line in [
        "pub static MODEL: &Aligned<[u8; 6]> = &Aligned(*include_bytes!(\"../har_1.keel\"));",
        "pub const ARENA_LEN: usize = 600;",
        "pub const INPUT_SHAPE: [usize; 3] = [1, 64, 3];",
        "pub const INPUT_SCALE: f32 = 0.05;",
        "pub const OUTPUT_LEN: usize = 4;",
        r#"pub const GROUPS: [&str; 2] = ["site=wrist", "a\"\\\n1é?"];"#,
    ] {
        assert!(library.lines().any(|l| l == line), "{line}\n{library}");
    }
    assert!(files.iter().any(|(path, bytes)| path == Path::new("har_1.keel") && bytes.len() == 6));
}

#[test]
fn a_folder_with_something_in_it_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("new/model");
    let files = to_rust(&facts("m"), None);
    write(&folder, &files, false).unwrap();
    assert!(folder.join("src/lib.rs").is_file());
    let e = write(&folder, &files, false).unwrap_err().to_string();
    assert!(e.contains("model") && e.contains("not empty") && e.contains("--force"), "{e}");
    std::fs::write(folder.join("own.txt"), "mine").unwrap();
    write(&folder, &to_c(&facts("m")), true).unwrap();
    assert_eq!(std::fs::read_to_string(folder.join("own.txt")).unwrap(), "mine");
    assert!(folder.join("m.c").is_file());
}
