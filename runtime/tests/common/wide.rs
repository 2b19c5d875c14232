//! A small network with what the first one lacks: packed and partly stored weights, strips over the input, sums
//! behind convolutions, concatenation, tables, products, and operators that only move values.

use super::net::{Net, Place};
use evenkeel_runtime::format::pack::Form;
use evenkeel_runtime::format::{FileSpec, OpRecord, Packing, op};

/// Input 6 × 6 × 4, five classes.
pub fn wide(packing: Packing) -> FileSpec {
    let mut net = Net::new(packing, [6, 6, 4], 5);
    let window = |kernel: u16, stride: u16, pad: u16| OpRecord {
        kernel: [kernel; 2],
        stride: [stride; 2],
        dilation: [1; 2],
        pad: [pad; 2],
        ..OpRecord::default()
    };
    let conv = |net: &mut Net, input, window: OpRecord, outputs, form| {
        net.weighted(OpRecord { code: op::CONV, input, ..window }, outputs, form)
    };

    let op = conv(&mut net, 0, OpRecord { strip_rows: 2, ..window(3, 1, 1) }, 8, Form::Blocks);
    let x = net.push_over(op, [6, 6, 8], Place::Before);
    let op = conv(&mut net, x, OpRecord { strip_rows: 1, ..window(2, 2, 0) }, 8, Form::Dense);
    let x = net.push_over(op, [3, 3, 8], Place::Behind);
    let op = conv(&mut net, x, window(1, 1, 0), 8, Form::TwoOfFour);
    let b = net.push(op, [3, 3, 8]);
    let op = conv(&mut net, x, OpRecord { strip_rows: 2, ..window(3, 1, 1) }, 8, Form::Dense);
    let op = net.onto(op, b);
    let y = net.tensor_at([3, 3, 8], net.tensors[b as usize].offset);
    net.push_to(OpRecord { out_channels: 8, ..op }, y);

    let both = net.tensor([3, 3, 12]);
    let op = net.lut(y);
    net.push_to(OpRecord { out_channels: 8, ..op }, both);
    let op = conv(&mut net, y, window(1, 1, 0), 4, Form::Blocks);
    net.push_to(OpRecord { out_channel: 8, out_channels: 4, ..op }, both);

    let op = net.on(op::PAD, both);
    let x = net.push(OpRecord { pad: [1, 0], ..op }, [4, 4, 12]);
    let op = net.on(op::SLICE, x);
    let x = net.push(OpRecord { pad: [1, 1], groups: 2, ..op }, [3, 2, 10]);
    let op = net.on(op::RESIZE, x);
    let x = net.push(OpRecord { stride: [1, 2], ..op }, [3, 4, 10]);
    let op = net.mean(OpRecord { kernel: [3, 4], input: x, ..window(1, 1, 0) });
    let mean = net.push(op, [1, 1, 10]);
    let op = net.product(x, mean);
    let y = net.tensor_at([3, 4, 10], net.tensors[x as usize].offset);
    net.push_to(OpRecord { out_channels: 10, ..op }, y);
    let op = net.weighted(OpRecord { code: op::LINEAR, input: y, ..OpRecord::default() }, 5, Form::Blocks);
    let x = net.push(op, [1, 1, 5]);
    let op = net.softmax(x);
    let y = net.push(op, [1, 1, 5]);
    net.finish(y)
}
