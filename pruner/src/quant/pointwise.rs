//! Operations that compute nothing new per element: functions of one value by table, and those that only move values.

use super::{QOp, QParams, fixed};
use crate::error::{Error, Result};
use crate::graph::Op;

/// The quantisation that the runtime's softmax has.
pub(super) const SHARES: QParams = QParams { scale: 1.0 / 256.0, zero: -128 };

/// The table of `f` from values under `from` to values under `to`, clipped: entry `x + 128`.
pub(super) fn table(f: impl Fn(f32) -> f32, from: QParams, to: QParams, clip: (f32, f32)) -> Box<[i8; 256]> {
    let (lo, hi) = fixed::clamp(to, clip);
    Box::new(std::array::from_fn(|i| {
        let real = f64::from(f(from.scale * (i as i32 - 128 - i32::from(from.zero)) as f32));
        let q = (real / f64::from(to.scale)).round() + f64::from(to.zero);
        // Saturates, and NaN (of infinite inputs, which integers do not stand for) would be 0.
        (q as i8).clamp(lo, hi)
    }))
}

/// The integer form of an operation that moves values.
///
/// # Errors
/// A border of another value than zero.
pub(super) fn moves(op: &Op) -> Result<QOp> {
    match op {
        Op::Resize { scale } => Ok(QOp::Resize(*scale)),
        Op::Pad { pad, value: 0.0 } => Ok(QOp::Pad([pad[0], pad[1]])),
        Op::Pad { value, .. } => Err(Error::new(format!("pads with {value}, which has no int8 form"))
            .help("pad with zeros, or pad the data before the network")),
        Op::Slice { axis, begin, .. } => Ok(QOp::Slice(axis.first(*begin))),
        _ => Err(Error::new("internal error: it does not only move values")),
    }
}
