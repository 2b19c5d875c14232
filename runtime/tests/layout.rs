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
        Header { magic, version, sections, file_len, crc, arena_len, scratch_offset, input, output, packing, input_rounding, reserved }
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
