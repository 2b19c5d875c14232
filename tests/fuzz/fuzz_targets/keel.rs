//! Bytes as a `.keel` file: refused, or run without a panic, and by all kernels alike.
//!
//! The first byte is not part of the file. When it is odd, length and checksums are made right first, so that what
//! lies behind them is reached.
#![no_main]

use evenkeel_runtime::format::repair;
use evenkeel_runtime::kernels::{Kernels, Native, Portable};
use evenkeel_runtime::{FloatSession, Model, Session};
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
    if first % 2 == 1 {
        repair(bytes);
    }
    let Ok(model) = Model::from_bytes(bytes) else { return };
    look(&model);
    if work(&model) >= MAX_WORK || model.arena_bytes() > MAX_ARENA {
        return;
    }
    if model.dtype().is_float() {
        run_float(&model);
    } else {
        let output = run::<Portable>(&model);
        if Native::PACKINGS.contains(&model.packing()) {
            assert_eq!(run::<Native>(&model), output);
        }
    }
});

/// All that a file can say.
fn look(model: &Model) {
    for op in model.ops() {
        let _ = (model.name(op.name), model.floats(op).len(), model.weights(op).map(|w| w.stored()), model.requant(op).len());
    }
    let groups = model.certificate().map_or(&[][..], |(_, groups)| groups);
    let _ = (groups.iter().map(|g| model.name(g.name).len()).sum::<usize>(), model.contract(), model.monitor());
}

/// What a run takes at most: every operator looks at no more than the taps of its window, or the whole input, for
/// each of its values.
fn work(model: &Model) -> u64 {
    let of = |(i, op): (usize, &evenkeel_runtime::format::OpRecord)| {
        let (x, y) = (&model.tensors()[op.input as usize], &model.tensors()[op.output as usize]);
        let taps = (op.kernel[0] as u64 * op.kernel[1] as u64).max(1).saturating_mul(x.c as u64);
        model.macs(i).max((y.elements() as u64).saturating_mul(taps))
    };
    model.ops().iter().enumerate().map(of).fold(0, u64::saturating_add)
}

/// One run of a float model.
fn run_float(model: &Model) {
    let mut arena = vec![0.0; model.arena_len()];
    let mut session = FloatSession::new(model, &mut arena).expect("an arena of the stated size");
    for (i, x) in session.input_mut().iter_mut().enumerate() {
        *x = (i * 37 % 256) as f32 / 64.0 - 2.0;
    }
    session.run();
    assert!(session.classify() < session.output().len());
}

/// The output of one run.
fn run<K: Kernels>(model: &Model) -> Vec<i8> {
    let mut arena = vec![0u64; model.arena_len().div_ceil(8)];
    let arena = bytemuck::cast_slice_mut(&mut arena);
    let mut session = Session::<K>::with_kernels(model, arena).expect("an arena of the stated size");
    for (i, x) in session.input_mut().iter_mut().enumerate() {
        *x = (i * 37) as u8 as i8;
    }
    session.run();
    assert!(session.classify() < session.output().len());
    session.output().to_vec()
}
