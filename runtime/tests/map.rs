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
    assert!(error.contains("is empty"), "{error}");
    assert!(MappedFile::open(&folder).is_err());
    assert!(MappedFile::open(folder.join("none.keel")).is_err());
    std::fs::remove_dir_all(&folder).expect("removed");
}

/// Threads change no byte, and lengths that do not fit are an error.
#[test]
fn a_batch_on_threads_gives_the_bytes_of_one_session() {
    use evenkeel_runtime::{Error, Session, batch::run_batch};
    let file = common::Buffer::new(&common::spec().to_bytes());
    let model = Model::from_bytes(file.bytes()).expect("a good file");
    let (width, out_width) = (model.input().elements(), model.output().elements());
    let inputs: Vec<i8> = (0..7 * width).map(|i| (i * 31 % 255) as u8 as i8).collect();
    let mut expected = Vec::new();
    let mut arena = common::Buffer::zeroed(model.arena_len());
    let mut session = Session::new(&model, arena.bytes_mut()).expect("enough");
    for input in inputs.chunks(width) {
        session.input_mut().copy_from_slice(input);
        session.run();
        expected.extend_from_slice(session.output());
    }
    for threads in [0, 1, 2, 3, 100] {
        let mut outputs = vec![99; expected.len()];
        run_batch(&model, &inputs, &mut outputs, threads).expect("whole samples");
        assert_eq!(outputs, expected, "{threads}");
    }
    let short = run_batch(&model, &inputs[1..], &mut vec![0; 6 * out_width], 2);
    assert_eq!(short, Err(Error::InputLength { needed: 6 * width, given: 7 * width - 1 }));
    assert!(run_batch(&model, &inputs, &mut vec![0; out_width], 2).is_err());
    assert_eq!(run_batch(&model, &[], &mut [], 2), Ok(()));
}
