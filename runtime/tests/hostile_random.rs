//! Random bytes, words, fields and numbers: nothing makes the reader panic, and what it accepts runs alike in every kernel
//! set.

mod common;

use common::load_and_run;
use common::random::random;
use evenkeel_runtime::format::{FileSpec, Packing, flag, repair};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 2000 },
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..512), header in any::<bool>()) {
        let mut bytes = bytes;
        if header && bytes.len() >= 8 {
            bytes[..8].copy_from_slice(b"KEEL\x01\0\0\0");
        }
        repair(&mut bytes);
        prop_assert!(load_and_run(&bytes).is_err());
    }

    /// Several 32-bit words replaced by values that are likely to hurt, in networks of all kinds.
    #[test]
    fn random_words(
        changes in prop::collection::vec((any::<prop::sample::Index>(), word()), 1..4),
        seed in any::<u64>(),
        packing in prop::sample::select(&Packing::ALL[..]),
    ) {
        let mut file = random(packing, seed).to_bytes();
        for (at, word) in changes {
            let at = at.index(file.len() / 4) * 4;
            file[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        repair(&mut file);
        let _ = load_and_run(&file);
    }

    /// Fields of records replaced, which words of weights seldom are.
    #[test]
    fn random_fields(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), word()), 1..4),
        seed in any::<u64>(),
        packing in prop::sample::select(&Packing::ALL[..]),
    ) {
        let mut spec = random(packing, seed);
        for (record, at, word) in changes {
            let record: &mut [u16] = match record.index(spec.ops.len() + spec.tensors.len()) {
                i if i < spec.ops.len() => bytemuck::cast_slice_mut(std::slice::from_mut(&mut spec.ops[i])),
                i => bytemuck::cast_slice_mut(std::slice::from_mut(&mut spec.tensors[i - spec.ops.len()])),
            };
            record[at.index(record.len())] = word as u16;
        }
        let _ = load_and_run(&spec.to_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 1000 },
        failure_persistence: None,
        ..Default::default()
    })]

    /// All numbers of requantisation and sums replaced by any that may be: sums and products wrap, and every kernel
    /// set wraps alike.
    #[test]
    fn random_numbers(seed in any::<u64>(), packing in prop::sample::select(&Packing::ALL[..])) {
        let mut spec = random(packing, seed);
        any_numbers(&mut spec, seed);
        prop_assert!(load_and_run(&spec.to_bytes()).is_ok());
    }
}

fn any_numbers(spec: &mut FileSpec, seed: u64) {
    let mut state = seed | 1;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as u32 as i32
    };
    for op in &mut spec.ops {
        for bytes in spec.data[op.requant as usize..][..op.requant_len as usize * 8].chunks_mut(4) {
            bytes.copy_from_slice(&word().to_le_bytes());
        }
        op.left_shift = word() as u8 % 16;
        op.add_mul = [word(), word()].map(|m| m >> (op.left_shift * 2));
        (op.add_bias, op.add_shift) = (word(), word() as u16 % 31);
        let bounds = [word() as i8, word() as i8];
        (op.lo, op.hi) = (bounds[0].min(bounds[1]), bounds[0].max(bounds[1]));
        if op.flags & flag::FUSED_ADD != 0 {
            op.mid = [word() as i8, op.lo, op.hi, 0];
        }
    }
}

fn word() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        0..64u32,
        Just(u32::MAX),
        Just(i32::MAX as u32),
        (any::<u8>(), any::<u8>()).prop_map(|(a, b)| a as u32 | (b as u32) << 16),
    ]
}
