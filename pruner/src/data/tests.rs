//! Whole files: the shared data sets, what users save, and hostile bytes.

use super::npy;
use super::*;
use npyz::zip::{CompressionMethod, ZipWriter, write::FileOptions};
use proptest::prelude::*;
use std::io::{Cursor, Write};

fn zip_of(members: &[(&str, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(format!("{name}.npy"), FileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn ucs4(values: &[&str], width: usize) -> Vec<u8> {
    let padded = |v: &&str| v.chars().map(u32::from).chain(std::iter::repeat(0)).take(width).collect::<Vec<_>>();
    values.iter().flat_map(padded).flat_map(u32::to_le_bytes).collect()
}

/// Six rows of two features: three of train, one of val, two of test.
fn small() -> Vec<(&'static str, Vec<u8>)> {
    let x: Vec<u8> = (0..12).flat_map(|v| (v as f32).to_le_bytes()).collect();
    let sex: Vec<u8> = ["f", "m", "", "m", "f", "m"].iter().flat_map(|v| v.bytes().chain([0]).take(1)).collect();
    vec![
        ("x", npy::write("<f4", &[6, 2], &x)),
        ("y", npy::write("|u1", &[6], &[0, 1, 2, 0, 1, 2])),
        ("split", npy::write("<U5", &[6], &ucs4(&["train", "test", "train", "val", "train", "test"], 5))),
        ("sex", npy::write("|S1", &[6], &sex)),
        ("id", npy::write(">i2", &[6], &[0, 10, 0, 9, 0, 9, 0xff, 0xff, 0, 10, 0, 10])),
        ("ill", npy::write("|b1", &[6, 1], &[0, 1, 0, 1, 0, 1])),
    ]
}

/// The small file with one array replaced.
fn with(name: &'static str, bytes: Vec<u8>) -> Vec<u8> {
    let mut members = small();
    members.retain(|(n, _)| *n != name);
    members.push((name, bytes));
    zip_of(&members, CompressionMethod::Stored)
}

fn error(bytes: &[u8]) -> String {
    load_bytes(bytes).unwrap_err().to_string()
}

#[test]
fn the_label_is_a_column_unless_the_file_has_one() {
    let parts = |columns| Parts {
        sample: vec![1],
        x: vec![0.0; 4],
        y: vec![5, 0, 5, 2],
        split: vec!["train", "train", "val", "test"],
        columns,
    };
    let load = |columns| load_bytes(&to_bytes(&parts(columns)).unwrap()).unwrap();
    let d = load(vec![]);
    assert_eq!(
        d.train.columns["class"],
        Column { values: ["0", "2", "5"].map(str::to_owned).into(), codes: vec![2, 0] }
    );
    assert_eq!(d.select.columns["class"].codes, [2]);
    let groups = parse_groups(&d.train, &["class".to_owned()]).unwrap().groups;
    assert_eq!(groups.iter().map(|g| g.name.as_str()).collect::<Vec<_>>(), ["class=0", "class=5"]);
    let own = load(vec![("class".to_owned(), Values::Text(["a", "b", "a", "b"].map(str::to_owned).into()))]);
    assert_eq!(own.train.columns["class"].values, ["a", "b"]);
}

#[test]
fn splits_columns_and_types() {
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let d = load_bytes(&zip_of(&small(), method)).unwrap();
        assert_eq!((d.train.len(), d.select.len(), d.verdict.len()), (3, 1, 2));
        assert_eq!((d.train.sample.as_slice(), d.train.classes), (&[2][..], 3));
        assert_eq!(d.train.x, [0.0, 1.0, 4.0, 5.0, 8.0, 9.0]);
        assert_eq!((d.train.y.as_slice(), d.train.class_counts()), (&[0, 2, 1][..], vec![1, 1, 1]));
        let column = |name: &str| d.train.columns[name].clone();
        assert_eq!(column("sex"), Column { values: ["", "f", "m"].map(String::from).into(), codes: vec![1, 0, 1] });
        assert_eq!(column("id"), Column { values: ["-1", "9", "10"].map(String::from).into(), codes: vec![2, 1, 2] });
        assert_eq!(column("ill").values, ["false", "true"]);
        assert_eq!(d.verdict.open().columns["id"].codes, [1, 2], "codes agree between splits");
    }
}

#[test]
fn every_number_type_becomes_f32() {
    let arrays: [(&str, Vec<u8>); 12] = [
        ("|u1", vec![1, 200]),
        ("|i1", vec![1, 200]),
        ("<u2", [1u16, 40000].iter().flat_map(|v| v.to_le_bytes()).collect()),
        (">i2", [1i16, -300].iter().flat_map(|v| v.to_be_bytes()).collect()),
        ("<i4", [1i32, -70000].iter().flat_map(|v| v.to_le_bytes()).collect()),
        ("<u4", [1u32, 4000000000].iter().flat_map(|v| v.to_le_bytes()).collect()),
        ("<i8", [1i64, -5].iter().flat_map(|v| v.to_le_bytes()).collect()),
        ("<u8", [1u64, 1 << 60].iter().flat_map(|v| v.to_le_bytes()).collect()),
        ("<f2", [1.0, -2.5].iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect()),
        (">f4", [1f32, -2.5].iter().flat_map(|v| v.to_be_bytes()).collect()),
        ("<f8", [1f64, 1e-3].iter().flat_map(|v| v.to_le_bytes()).collect()),
        ("|b1", vec![1, 0]),
    ];
    let want = [200.0, -56.0, 40000.0, -300.0, -70000.0, 4e9, -5.0, (1u64 << 60) as f32, -2.5, -2.5, 1e-3, 0.0];
    for ((descr, body), want) in arrays.into_iter().zip(want) {
        let (shape, v) = array_from_bytes(&npy::write(descr, &[1, 2], &body), None).unwrap();
        assert_eq!((shape.as_slice(), v.as_slice()), (&[1, 2][..], &[1.0, want][..]), "{descr}");
    }
}

#[test]
fn fortran_order_is_converted() {
    let c = npy::write("|u1", &[2, 3], &[0, 3, 1, 4, 2, 5]);
    let text = String::from_utf8_lossy(&c[10..128]).replace("False, ", "True,  ");
    let f = [&c[..10], text.as_bytes(), &c[128..]].concat();
    let (shape, v) = array_from_bytes(&f, None).unwrap();
    assert_eq!((shape, v), (vec![2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
}

#[test]
fn saved_parts_load_again_and_bytes_repeat() {
    let parts = Parts {
        sample: vec![1, 2],
        x: vec![0.5, 1.5, 2.5, 3.5],
        y: vec![1, 0],
        split: vec!["test", "train"],
        columns: vec![
            ("name".into(), Values::Text(vec!["Zoë".into(), String::new()])),
            ("n".into(), Values::Int(vec![-3, 12])),
        ],
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("set.npz");
    save(&path, &parts).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), to_bytes(&parts).unwrap());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
    let d = load(&path).unwrap();
    assert_eq!((d.train.x.as_slice(), d.train.y.as_slice()), (&[2.5, 3.5][..], &[0][..]));
    assert_eq!(d.train.columns["name"].values, ["", "Zoë"]);
    assert_eq!(d.verdict.open().columns["n"].codes, [0]);
    let e = save(&path, &Parts { y: vec![1], ..parts }).unwrap_err().to_string();
    assert!(e.contains("set.npz") && e.contains("`x` has 4"), "{e}");
    let e = load(&dir.path().join("none.npz")).unwrap_err().to_string();
    assert!(e.contains("none.npz"), "{e}");
}

#[test]
fn mistakes_are_named_with_the_way_out() {
    let nan: Vec<u8> = (0..12).flat_map(|v| if v == 7 { f32::NAN } else { 0.0 }.to_le_bytes()).collect();
    let floats = |v: [f64; 6]| npy::write("<f8", &[6], &v.map(f64::to_le_bytes).concat());
    for (bytes, wants) in [
        (with("x", npy::write("<f4", &[6, 2], &nan)), vec!["array `x`", "row 3", "NaN", "help"]),
        (with("x", npy::write("<f4", &[12], &nan)), vec!["array `x`", "(12,)", "float32", "(N, C, L)"]),
        (with("x", npy::write("|u1", &[6, 0], &[])), vec!["array `x`", "(6, 0)", "not empty"]),
        (with("x", npy::write("|u1", &[0, 6], &[])), vec!["array `x`", "(0, 6)", "one row"]),
        (with("x", npy::write("<U1", &[6, 1], &[0; 24])), vec!["array `x`", "<U1", "numbers"]),
        (with("x", npy::write("<c8", &[1, 1], &[0; 8])), vec!["array `x`", "<c8", "float16/32/64"]),
        (with("y", npy::write("|i1", &[6], &[0, 1, 255, 0, 0, 0])), vec!["array `y`", "row 2", "class -1"]),
        (with("y", npy::write("<u8", &[6], &[1; 48])), vec!["array `y`", "row 0", "below 4096"]),
        (with("y", floats([0.0, 1.0, 0.5, 0.0, 0.0, 0.0])), vec!["array `y`", "row 2", "regression"]),
        (with("y", npy::write("|S1", &[6], b"abcabc")), vec!["array `y`", "|S1", "numpy.unique"]),
        (with("y", npy::write("|u1", &[5], &[0; 5])), vec!["array `y`", "(5,)", "(6,)"]),
        (with("split", npy::write("|S3", &[6], b"dev".repeat(6).as_slice())), vec!["array `split`", "row 0", "`dev`"]),
        (with("split", npy::write("|u1", &[6], &[0, 1, 2, 3, 0, 0])), vec!["array `split`", "row 3", "`3`"]),
        (with("sex", npy::write("|u1", &[2, 3], &[0; 6])), vec!["array `sex`", "(2, 3)", "(6,)", "leave"]),
        (with("sex", npy::write("<U1", &[6], &[0xff; 24])), vec!["array `sex`", "row 0", "Unicode"]),
        (with("sex", npy::write("|S1", &[6], &[0xff; 6])), vec!["array `sex`", "row 0", "UTF-8"]),
        (with("sex", floats([1.5; 6])), vec!["array `sex`", "row 0", "bands"]),
        (with("sex", npy::write("|O", &[6], &[0; 6])), vec!["array `sex`", "|O", "astype(str)"]),
        (with("sex", b"no array".to_vec()), vec!["array `sex`", ".npy", "numpy.savez"]),
        (b"PK but no zip".to_vec(), vec!["zip directory", "numpy.savez"]),
    ] {
        let e = error(&bytes);
        assert!(wants.iter().all(|w| e.contains(w)), "wanted {wants:?}: {e}");
    }
    for missing in ["x", "y", "split"] {
        let mut members = small();
        members.retain(|(n, _)| *n != missing);
        let e = error(&zip_of(&members, CompressionMethod::Stored));
        assert!(
            e.contains(&format!("array `{missing}` is missing")) && e.contains("`sex`") && e.contains("help"),
            "{e}"
        );
    }
    let e = array_from_bytes(&with("x", npy::write("<f4", &[6, 2], &nan)), None).unwrap_err().to_string();
    assert!(e.contains("array `x`") && e.contains("element 7"), "{e}");
    let e = array_from_bytes(&zip_of(&small()[1..], CompressionMethod::Stored), None).unwrap_err().to_string();
    assert!(e.contains("no array `x`") && e.contains("`split`"), "{e}");
}

#[test]
fn lying_shapes_cost_nothing() {
    for shape in [vec![1 << 60], vec![1 << 40, 1 << 40], vec![0, 1 << 62, 1 << 62], vec![7, 2], vec![usize::MAX, 0]] {
        let e = error(&with("x", npy::write("<f4", &shape, &[0; 48])));
        assert!(e.contains("array `x`") && e.contains(&shape[0].to_string()), "{e}");
        let e = error(&with("sex", npy::write("<U9", &shape, &[0; 48])));
        assert!(e.contains("array `sex`"), "{e}");
    }
    // Nested brackets, and a header longer than any that numpy writes.
    for header in [vec![b'('; 60000], vec![b'['; 60000], b"{'shape': ((((".repeat(1000)] {
        let mut bytes = b"\x93NUMPY\x02\x00".to_vec();
        bytes.extend((header.len() as u32).to_le_bytes());
        bytes.extend(header);
        assert!(error(&with("x", bytes)).contains("damaged header"));
    }
    let e = error(&with("x", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{".to_vec()));
    assert!(e.contains("4294967295"), "{e}");
}

/// Positions of the directory entries and of the directory's end.
fn directory(bytes: &[u8]) -> (Vec<usize>, usize) {
    let find = |magic: &[u8]| bytes.windows(4).enumerate().filter(|(_, w)| *w == magic).map(|(i, _)| i).collect();
    let (entries, ends): (Vec<usize>, Vec<usize>) = (find(b"PK\x01\x02"), find(b"PK\x05\x06"));
    (entries, ends[0])
}

#[test]
fn lying_archives_are_refused() {
    let good = zip_of(&small(), CompressionMethod::Deflated);
    let (entries, end) = directory(&good);
    let set = |at: usize, new: &[u8]| {
        let mut b = good.clone();
        b[at..at + new.len()].copy_from_slice(new);
        error(&b)
    };
    assert!(set(entries[0] + 24, &u32::MAX.to_le_bytes()).contains("claims"), "a size that 50 bytes cannot hold");
    assert!(set(entries[0] + 8, &[1]).contains("encrypted"));
    assert!(set(entries[0] + 10, &[12]).contains("compression method 12"));
    assert!(set(entries[0] + 16, &[1, 2, 3, 4]).contains("array `x`"), "the checksum");
    assert!(set(entries[1] + 42, &[0; 4]).contains("array `y`"), "`y` points to `x`");
    assert!(set(entries[1] + 46, b"x").contains("twice"));
    assert!(set(end + 10, &[0xff, 0xff]).contains("65535 arrays"));
    assert!(set(end + 16, &[0xff; 4]).contains("points outside"));
    // Many members on the same bytes.
    let mut members = small();
    members[0].1 = npy::write("<f4", &[6, 2000], &[0; 48000]);
    let mut shared = zip_of(&members, CompressionMethod::Stored);
    let (entries, _) = directory(&shared);
    for e in &entries[1..] {
        shared.copy_within(entries[0] + 16..entries[0] + 28, e + 16);
        shared.copy_within(entries[0] + 42..entries[0] + 46, e + 42);
    }
    assert!(error(&shared).contains("overlap"));
}

#[test]
fn cut_files_are_errors() {
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let good = zip_of(&small(), method);
        for len in 0..good.len() {
            assert!(load_bytes(&good[..len]).is_err(), "{len} of {}", good.len());
        }
    }
    let npy = &small()[0].1;
    for len in 0..npy.len() {
        assert!(array_from_bytes(&npy[..len], None).is_err(), "{len}");
    }
}

#[test]
fn flipped_bits_never_panic() {
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let good = zip_of(&small(), method);
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << bit;
                let _ = load_bytes(&bytes);
                let _ = array_from_bytes(&bytes, None);
            }
        }
    }
    let good = small().remove(0).1;
    for at in 0..good.len() {
        for value in 0..=255 {
            let mut bytes = good.clone();
            bytes[at] = value;
            let _ = array_from_bytes(&bytes, None);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400), descr in "[<>|=]?[a-zA-Z][0-9]{0,3}") {
        let _ = load_bytes(&bytes);
        let _ = array_from_bytes(&bytes, None);
        let _ = load_bytes(&with("x", [b"\x93NUMPY\x01\x00\x40\x00", bytes.as_slice()].concat()));
        let _ = load_bytes(&with("sex", npy::write(&descr, &[6], &bytes)));
    }

    #[test]
    fn splices_never_panic(at in 0usize..3000, patch in prop::collection::vec(any::<u8>(), 1..12), deflate: bool) {
        let method = if deflate { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        let mut bytes = zip_of(&small(), method);
        let at = at % bytes.len();
        let end = (at + patch.len()).min(bytes.len());
        bytes[at..end].copy_from_slice(&patch[..end - at]);
        let _ = load_bytes(&bytes);
    }
}

#[test]
fn shared_data_sets_load() {
    let Some(dir) = crate::testing::shared_dir() else { return };
    let specs = |s: &[&str]| s.iter().map(|s| s.to_string()).collect::<Vec<_>>();
    let names = |g: &GroupSet| g.groups.iter().map(|g| (g.name.clone(), g.rows.len())).collect::<Vec<_>>();

    let d = load(&dir.join("data/motionsense.npz")).unwrap();
    assert_eq!((d.train.len(), d.select.len(), d.verdict.len()), (13505, 3541, 4493));
    assert_eq!((d.train.sample.as_slice(), d.train.classes), (&[6, 128][..], 6));
    assert_eq!(d.train.x.len(), 13505 * 6 * 128);
    let test = d.verdict.open();
    let g = parse_groups(&test, &specs(&["gender", "gender*age_band"])).unwrap();
    assert_eq!(g.groups.iter().map(|g| g.rows.len()).sum::<usize>(), 2 * 4493);
    assert_eq!(g.groups[0].name, "gender=female");
    assert!(g.groups.iter().any(|g| g.name == "gender=male*age_band=under28"), "{:?}", names(&g));
    let subjects: std::collections::BTreeSet<u32> =
        cluster_codes(&test, Some("subject")).unwrap().into_iter().collect();
    assert_eq!((subjects.len(), test.columns["subject"].values.len()), (5, 24));

    let d = load(&dir.join("data/mitbih.npz")).unwrap();
    assert_eq!((d.train.len(), d.select.len(), d.verdict.len()), (38269, 12723, 49684));
    assert_eq!((d.train.sample.as_slice(), d.train.classes), (&[1, 144][..], 4));
    assert!(d.train.columns["age_band"].values.contains(&"unknown".to_string()));

    let d = load(&dir.join("data/fairface32.npz")).unwrap();
    assert_eq!((d.train.len(), d.select.len(), d.verdict.len()), (17000, 3000, 5000));
    assert_eq!((d.train.sample.as_slice(), d.train.classes), (&[3, 32, 32][..], 2));
    assert!(d.train.x.iter().all(|v| (0.0..=255.0).contains(v) && v.fract() == 0.0));
    assert_eq!(parse_groups(&d.select, &specs(&["race"])).unwrap().groups.len(), 7);

    let (shape, x) = load_array(&dir.join("golden/torch/har_cnn.npz"), Some("x")).unwrap();
    assert_eq!((shape.as_slice(), x.len()), (&[64, 6, 128][..], 64 * 6 * 128));
    assert_eq!(load_array(&dir.join("golden/torch/har_cnn.npz"), None).unwrap().1, x);
    assert_eq!(load_array(&dir.join("golden/torch/har_cnn.npz"), Some("row")).unwrap().0, [64]);
}
