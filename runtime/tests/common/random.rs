//! Random networks: every operator, packing and stored form, in strips, in place, over their inputs, concatenated.

use super::net::{Net, Place, Shape};
use evenkeel_runtime::format::pack::Form;
use evenkeel_runtime::format::{FileSpec, OpRecord, Packing, op};

/// A network of some operators from this seed.
pub fn random(packing: Packing, seed: u64) -> FileSpec {
    let mut net = Net::new(packing, [1, 1, 1], seed);
    let input = [1 + net.below(12), 1 + net.below(12), 1 + net.below(10)];
    net = Net::new(packing, input, seed.wrapping_add(77));
    let mut x = 0;
    for _ in 0..1 + net.below(5) {
        x = step(&mut net, x);
    }
    net.finish(x)
}

/// One more operator, or a few that belong together, on `x`.
fn step(net: &mut Net, x: u16) -> u16 {
    let [h, w, c] = net.shape(x);
    match net.below(14) {
        0..=3 => {
            let (op, shape, place) = windowed(net, x);
            net.push_over(op, shape, place)
        }
        4 => {
            // A sum behind a convolution, in the place of the other summand or apart.
            let (op, shape, _) = windowed(net, x);
            let b = net.push(op, shape);
            let (second, ..) = same_shape(net, x, op, shape);
            let second = net.onto(second, b);
            onto_or_apart(net, second, b)
        }
        5 => concat(net, x),
        6 => {
            let outputs = 1 + net.below(20);
            let form = form(net);
            let op = net.on(op::LINEAR, x);
            let op = net.weighted(op, outputs, form);
            let y = net.push(op, [1, 1, outputs]);
            let again = net.weighted(op, outputs, form);
            let fused = net.onto(again, y);
            onto_or_apart(net, fused, y)
        }
        7 => {
            let op = net.lut(x);
            onto_or_apart(net, op, x)
        }
        8 => {
            let op = net.softmax(x);
            net.push(op, [h, w, c])
        }
        9 => {
            let op = net.on(op::SLICE, x);
            let shape = [1 + net.below(h), 1 + net.below(w), 1 + net.below(c)];
            let first = [0, 1, 2].map(|a| net.below([h, w, c][a] - shape[a] + 1) as u16);
            net.push(OpRecord { pad: [first[0], first[1]], groups: first[2], ..op }, shape)
        }
        10 => {
            let (op, at) = (net.on(op::PAD, x), [net.below(3), net.below(3)]);
            let shape = [h + at[0] + net.below(3), w + at[1] + net.below(3), c];
            net.push(OpRecord { pad: at.map(|n| n as u16), ..op }, shape)
        }
        11 if h * w < 100 => {
            let (op, by) = (net.on(op::RESIZE, x), [1 + net.below(3), 1 + net.below(3)]);
            net.push(OpRecord { stride: by.map(|n| n as u16), ..op }, [h * by[0], w * by[1], c])
        }
        12 => {
            // Each channel times a mean of it, or each value times itself.
            let op = OpRecord { kernel: [h as u16, w as u16], stride: [1, 1], dilation: [1, 1], ..net.on(0, x) };
            let op = net.mean(op);
            let mean = net.push(op, [1, 1, c]);
            let other = if net.below(2) == 0 { mean } else { x };
            let op = net.product(x, other);
            if other == x { net.push(op, [h, w, c]) } else { onto_or_apart(net, op, x) }
        }
        _ => {
            let op = net.lut(x);
            let b = net.push(op, [h, w, c]);
            let (first, second) = [(x, b), (b, x), (b, b)][net.below(3) as usize];
            let op = net.sum(first, second);
            let over = if first == second { x } else { [x, b][net.below(2) as usize] };
            if first == second { net.push(op, [h, w, c]) } else { onto_or_apart(net, op, over) }
        }
    }
}

/// A sum or a function of one value, in the place of `over` or apart. The input keeps its place.
fn onto_or_apart(net: &mut Net, op: OpRecord, over: u16) -> u16 {
    let shape = net.shape(over);
    if net.below(2) == 0 {
        return net.push(op, shape);
    }
    let output = net.tensor_at(shape, net.tensors[over as usize].offset);
    net.push_to(OpRecord { out_channels: shape[2], ..op }, output)
}

/// Any operator with a window.
fn windowed(net: &mut Net, x: u16) -> (OpRecord, Shape, Place) {
    let [h, w, c] = net.shape(x);
    let mut op = net.on(op::CONV, x);
    let mut out = [0; 2];
    for (axis, len) in [h, w].into_iter().enumerate() {
        let (kernel, stride, dilation) = (1 + net.below(3), 1 + net.below(2), 1 + net.below(2));
        let extent = (kernel - 1) * dilation + 1;
        // Less than a step of taps, and the input always seen.
        let pad = net.below(extent).min(net.below(len + 1)).min(dilation * (kernel - 1) / 2);
        (op.kernel[axis], op.stride[axis]) = (kernel as u16, stride as u16);
        (op.dilation[axis], op.pad[axis]) = (dilation as u16, pad as u16);
        let most = (len + pad).saturating_sub(extent) / stride + 1;
        out[axis] = most.max(1);
        if len + pad < extent {
            (op.kernel[axis], op.dilation[axis], op.pad[axis]) = (1, 1, 0);
            out[axis] = (len - 1) / stride + 1;
        }
    }
    let channels = 1 + net.below(20);
    let form = form(net);
    let (op, channels) = match net.below(8) {
        0 => (net.weighted(OpRecord { code: op::DEPTHWISE, ..op }, c, Form::Dense), c),
        1 if c.is_multiple_of(2) => {
            let op = OpRecord { code: op::GROUPED_CONV, groups: 2, ..op };
            (net.weighted(op, 4, Form::Dense), 4)
        }
        2 => (OpRecord { code: op::MAX_POOL, ..op }, c),
        3 => (net.mean(op), c),
        _ => (net.weighted(op, channels, form), channels),
    };
    let strip_rows = net.below(out[0] + 2) as u16;
    let place = [Place::Apart, Place::Before, Place::Behind][net.below(3) as usize];
    let place = if strip_rows == 0 { Place::Apart } else { place };
    (OpRecord { strip_rows, ..op }, [out[0], out[1], channels], place)
}

/// A convolution with the window and result of `like`, which may be a pool.
fn same_shape(net: &mut Net, x: u16, like: OpRecord, shape: Shape) -> (OpRecord, Shape) {
    let window = OpRecord {
        kernel: like.kernel,
        stride: like.stride,
        dilation: like.dilation,
        pad: like.pad,
        strip_rows: net.below(shape[0] + 2) as u16,
        ..net.on(op::CONV, x)
    };
    let form = form(net);
    (net.weighted(window, shape[2], form), shape)
}

/// Two or three operators that write parts of one tensor.
fn concat(net: &mut Net, x: u16) -> u16 {
    let [h, w, c] = net.shape(x);
    let channels = 1 + net.below(6);
    let product = net.below(2) * c;
    let y = net.tensor([h, w, c + channels + product]);
    let lut = net.lut(x);
    net.push_to(OpRecord { out_channel: channels, out_channels: c, ..lut }, y);
    let point = OpRecord { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], ..net.on(op::CONV, x) };
    let form = form(net);
    let strip_rows = net.below(h + 1) as u16;
    let conv = net.weighted(OpRecord { strip_rows, ..point }, channels, form);
    net.push_to(OpRecord { out_channels: channels, ..conv }, y);
    if product > 0 {
        let op = if net.below(2) == 0 { net.product(x, x) } else { net.sum(x, x) };
        net.push_to(OpRecord { out_channel: channels + c, out_channels: c, ..op }, y);
    }
    y
}

fn form(net: &mut Net) -> Form {
    [Form::Dense, Form::Blocks, Form::TwoOfFour][net.below(3) as usize]
}
