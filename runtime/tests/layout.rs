//! docs/format.md states every offset and size as the compiler has them.

use core::mem::offset_of;

use evenkeel_runtime::format::*;

const PAGE: &str = include_str!("../../docs/format.md");

/// Name, bytes, and its fields: name, offset.
type Layout = (&'static str, usize, Vec<(&'static str, usize)>);

macro_rules! layouts {
    ($($record:ident { $($field:ident),* })*) => {
        vec![$((stringify!($record), size_of::<$record>(), vec![$((stringify!($field), offset_of!($record, $field))),*])),*]
    };
}

/// Every record of a file.
fn layouts() -> Vec<Layout> {
    layouts! {
        Header { magic, version, sections, file_len, crc, arena_len, scratch_offset, input, output, packing, input_rounding, dtype, reserved }
        SectionRecord { kind, flags, offset, len, crc }
        NameRef { offset, len }
        TensorRecord { offset, c, h, w, scale, zero, first_op, last_op }
        OpRecord {
            code, input, input2, output, out_channel, out_channels, kernel, stride, dilation, pad, weights, weights_len,
            index, index_len, requant, requant_len, left_shift, lo, hi, rounding, groups, encoding, flags, strip_rows,
            add_shift, add_mul, add_bias, mid, name
        }
        Requant { bias, mul }
        InputChannel { scale, mean, std }
        CertificateHead { verdict, unproven, confidence, n, dense, pruned, int8, groups, data_hash, dense_cost }
        CertificateGroup {
            name, n, clusters, dense, pruned, int8, int8_lower, excess_drop, excess_drop_upper, verdict
        }
        MonitorHead { groups, threshold, q, reserved }
        FloorRecord { name, floor, correct, wrong }
        FieldHead { groups, gap_threshold, gap_q, classes, test_inputs, test_crc, edges, reserved }
        FieldGroup { tolerance, agreement, confidence, histogram, map }
        Signature { key, signature }
    }
}

/// Bytes of a type as the page writes it: `u16`, `4 × i8`, `NameRef`.
fn bytes(kind: &str) -> usize {
    let (count, kind) = kind.split_once(" × ").map_or((1, kind), |(n, kind)| (n.parse().expect("a count"), kind));
    count
        * match kind {
            "u8" | "i8" => 1,
            "u16" => 2,
            "u32" | "i32" | "f32" => 4,
            "NameRef" => size_of::<NameRef>(),
            other => panic!("type {other}"),
        }
}

#[test]
fn the_page_states_every_offset() {
    for (record, size, fields) in layouts() {
        let heading = format!("### `{record}` ({size} bytes)\n");
        let section = PAGE.split_once(&heading).unwrap_or_else(|| panic!("no heading {heading:?}")).1;
        let table = section.split("\n#").next().unwrap_or_default();
        let rows: Vec<Vec<&str>> = table
            .lines()
            .skip_while(|line| !line.starts_with("| ---"))
            .skip(1)
            .take_while(|line| line.starts_with('|'))
            .map(|line| line.split('|').map(str::trim).collect())
            .collect();
        let stated: Vec<(&str, usize)> =
            rows.iter().map(|row| (row[3].trim_matches('`'), row[1].parse().expect("an offset"))).collect();
        assert_eq!(stated, fields, "{record}");
        // Fields fill the record, so none is missing.
        let ends = rows.iter().zip(&fields).map(|(row, (_, offset))| offset + bytes(row[2]));
        let starts = fields.iter().skip(1).map(|f| f.1).chain([size]);
        assert!(ends.eq(starts), "{record}: types do not fill it");
    }
}

#[test]
fn the_page_states_the_codes() {
    for packing in Packing::ALL {
        let tile = packing.tile(op::CONV, encoding::DENSE);
        let row = format!("| {} | {} | {} × {}", packing as u16, packing.name(), tile.rows, tile.step);
        assert!(PAGE.contains(&row), "{row}");
    }
    for code in op::CONV..=op::PAD {
        let row = format!("| {code} | {} |", OpRecord { code, ..OpRecord::default() }.code_name());
        assert!(PAGE.contains(&row), "{row}");
    }
    let limits =
        [MAX_RECORDS == 4096, MAX_WORK == 1 << 40, MAX_ARENA == 1 << 30, SECTION_ALIGN == 64, TENSOR_ALIGN == 4];
    assert!(limits.iter().all(|l| *l) && VERSION == 1 && MAX_PIXELS == 64 && CRC_START == 16, "see the page");
    assert_eq!(evenkeel_runtime::strips::MAX_STRIPS, 4096, "see the page");
}

/// What the page says that kernels may use as scratch.
fn scratch(packing: Packing, op: &OpRecord, [_, in_w, c]: [usize; 3], [h, w, _]: [usize; 3], values: usize) -> usize {
    let [kernel, stride, dilation] = [op.kernel, op.stride, op.dilation].map(|of| of.map(usize::from));
    let up = usize::next_multiple_of;
    let column = kernel[0] * kernel[1] * c;
    let extent = |a: usize| (kernel[a] - 1) * dilation[a] + 1;
    let width = || (w - 1) * stride[1] + extent(1);
    match (op.code, packing) {
        (op::CONV, Packing::Portable | Packing::Dsp) => 4 * up(column, 4),
        (op::CONV, Packing::Mve) => 2 * up(column, 16),
        (op::CONV, Packing::Sdot) => (h * w).min(64) * up(column, 64),
        (op::CONV, Packing::Vnni) => {
            let band = |n: usize| width() * c * ((n - 1) * stride[0] + extent(0)) + 64;
            let (runs, run) = if dilation[1] == 1 { (kernel[0], kernel[1] * c) } else { (kernel[0] * kernel[1], c) };
            let tiles = column.div_ceil(4);
            let pieces = if runs == 1 || run.is_multiple_of(4) { 0 } else { up(24 * (tiles + runs), 64) };
            64 + up(4 * (tiles + 1), 64) + pieces + band(h).min(32768).max(band(1))
        }
        (op::DEPTHWISE, Packing::Vnni) => {
            let n = kernel[0].div_ceil(4);
            let pitch = if [4, 8, 16, 32].contains(&c) && stride[1] == 1 { c } else { up(c, 16) };
            let planes = 4 * n * (up(width() * pitch, 64) + 256);
            128 + (32768 / planes).min(h).max(1) * planes
                + 256 * n * kernel[1] * c.div_ceil(64)
                + 768 * c.div_ceil(64)
                + up(c * in_w, 64)
        }
        (op::LINEAR, Packing::Dsp) if op.encoding != encoding::DENSE && !values.is_multiple_of(4) => up(values, 4),
        (op::LINEAR, Packing::Mve) if [encoding::BLOCKS8, encoding::BLOCKS16].contains(&op.encoding) => up(values, 16),
        (op::LINEAR, Packing::Sdot) => up(values, 64),
        (op::LINEAR, Packing::Vnni) => values + 64,
        _ => 0,
    }
}

#[test]
fn the_page_states_the_scratch() {
    let mut state = 1u64;
    let mut below = |n: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (1 + (state >> 33) % n) as usize
    };
    for _ in 0..2000 {
        let (input, c) = ([below(20), below(20)], below(70));
        let pair = |n: &mut dyn FnMut(u64) -> usize, most| [n(most) as u16, n(most) as u16];
        let (kernel, stride, dilation) = (pair(&mut below, 9), pair(&mut below, 3), pair(&mut below, 3));
        let output = [below(20), below(20), below(70)];
        let encoding = below(2) as u8 - 1;
        for code in op::CONV..=op::PAD {
            let op = OpRecord { code, kernel, stride, dilation, encoding, ..OpRecord::default() };
            let output = if code == op::DEPTHWISE { [output[0], output[1], c] } else { output };
            for packing in Packing::ALL {
                let input = [input[0], input[1], c];
                let stated = scratch(packing, &op, input, output, input.iter().product());
                assert_eq!(packing.scratch_len(&op, input, output), stated, "{packing:?} {op:?} {input:?} {output:?}");
            }
        }
    }
}
