//! Bytes as a data set, and as a single array: refused, or sound.
#![no_main]

use evenkeel::data;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
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
});
