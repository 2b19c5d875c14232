//! Bytes as a data set, and as a single array: refused, or sound.
//!
//! The first byte is not part of the file. When it is even, the rest is the file. When it is odd, the rest is arrays,
//! each behind its length (16 bits), and goes into an archive that is right, so that what lies behind its checksums
//! is reached.
#![no_main]

use evenkeel::data;
use evenkeel_runtime::format::crc32;
use libfuzzer_sys::fuzz_target;

/// Names of the arrays in turn.
const NAMES: [&str; 6] = ["x.npy", "y.npy", "split.npy", "site.npy", "band.npy", "subject.npy"];

fuzz_target!(|input: &[u8]| {
    match input.split_first() {
        Some((first, rest)) if first % 2 == 0 => read(rest),
        Some((_, rest)) => read(&archive(rest)),
        None => {}
    }
});

fn read(bytes: &[u8]) {
    if let Ok(set) = data::load_bytes(bytes) {
        for rows in [&set.train, &set.select] {
            assert_eq!(rows.x.len(), rows.len() * rows.width());
            assert!(rows.y.iter().all(|&y| y < rows.classes) && rows.x.iter().all(|x| x.is_finite()));
            for column in rows.columns.values() {
                assert_eq!(column.codes.len(), rows.len());
                assert!(column.codes.iter().all(|&c| (c as usize) < column.values.len()));
            }
        }
    }
    if let Ok((shape, x)) = data::array_from_bytes(bytes, None) {
        assert_eq!(shape.iter().product::<usize>(), x.len());
    }
}

/// A zip archive of stored members (PKWARE APPNOTE 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16).
fn archive(mut parts: &[u8]) -> Vec<u8> {
    let (mut file, mut directory, mut count) = (Vec::new(), Vec::new(), 0u16);
    for name in NAMES {
        let Some((len, rest)) = parts.split_first_chunk::<2>() else { break };
        let (array, rest) = rest.split_at(rest.len().min(u16::from_le_bytes(*len).into()));
        parts = rest;
        let (start, len) = (file.len() as u32, array.len() as u32);
        // Flags, method, time and date are zero; then checksum, both lengths, length of the name, no extra field.
        let mut head = vec![0; 8];
        head.extend([crc32(array), len, len].iter().flat_map(|v| v.to_le_bytes()));
        head.extend([name.len() as u8, 0, 0, 0]);
        file.extend(b"PK\x03\x04\x14\0");
        file.extend(&head);
        file.extend(name.as_bytes());
        file.extend(array);
        directory.extend(b"PK\x01\x02\x14\0\x14\0");
        directory.extend(&head);
        // No comment, disk 0, no attributes.
        directory.extend([0; 10]);
        directory.extend(start.to_le_bytes());
        directory.extend(name.as_bytes());
        count += 1;
    }
    let (start, len) = (file.len() as u32, directory.len() as u32);
    file.extend(directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    file.extend([len.to_le_bytes(), start.to_le_bytes()].concat());
    file.extend([0, 0]);
    file
}
