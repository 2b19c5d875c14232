//! Bytes as a `.keel` file: refused, or run without a panic.
//!
//! The first byte is not part of the file. When it is odd, length and checksum are made right first, so that what
//! lies behind them is reached.
#![no_main]

use evenkeel_runtime::format::{CRC_START, crc32};
use evenkeel_runtime::{Model, Session};
use libfuzzer_sys::fuzz_target;

/// Multiplications that an accepted file may take to be run.
const MAX_WORK: u64 = 10_000_000;
/// Bytes of arena that an accepted file may take to be run.
const MAX_ARENA: usize = 1 << 24;

fuzz_target!(|data: &[u8]| {
    let Some((&first, file)) = data.split_first() else { return };
    let mut words = vec![0u64; file.len().div_ceil(8)];
    let bytes = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..file.len()];
    bytes.copy_from_slice(file);
    if first % 2 == 1 && bytes.len() >= CRC_START {
        let len = bytes.len() as u32;
        bytes[8..12].copy_from_slice(&len.to_le_bytes());
        let crc = crc32(&bytes[CRC_START..]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    }
    let Ok(model) = Model::from_bytes(bytes) else { return };
    let work = (0..model.ops().len()).fold(0u64, |sum, i| sum.saturating_add(model.macs(i)));
    if work < MAX_WORK && model.arena_len() <= MAX_ARENA {
        run(&model);
    }
});

/// Looks at all that a file can say, and runs it once.
fn run(model: &Model) {
    for op in model.ops() {
        let _ = (model.name(op.name), model.weights(op).map(|w| w.stored()), model.requant(op).len());
    }
    let groups = model.certificate().map_or(&[][..], |(_, groups)| groups);
    let _ = (groups.iter().map(|g| model.name(g.name).len()).sum::<usize>(), model.contract(), model.monitor());
    let mut arena = vec![0u64; model.arena_len().div_ceil(8)];
    let mut session = Session::new(model, bytemuck::cast_slice_mut(&mut arena)).expect("an arena of the stated size");
    for (i, x) in session.input_mut().iter_mut().enumerate() {
        *x = (i * 37) as u8 as i8;
    }
    session.run();
    assert!(session.classify() < session.output().len());
}
