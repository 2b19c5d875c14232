//! The residual sum, the table and the maximum over a window: loops whose last turn is predicated.

use core::arch::asm;

use crate::kernels::portable::Window;
use crate::kernels::{AddParams, Geometry};

/// The sum of two tensors of one length.
pub fn add(p: &AddParams, a: &[i8], b: &[i8], y: &mut [i8]) {
    let len = y.len().min(a.len()).min(b.len());
    // SAFETY: all three are at least `len` bytes long.
    unsafe { sum(p, a.as_ptr(), b.as_ptr(), y.as_mut_ptr(), len) };
}

/// The sum of two tensors, in place of the second.
pub fn add_onto(p: &AddParams, a: &[i8], y: &mut [i8]) {
    let (len, y) = (y.len().min(a.len()), y.as_mut_ptr());
    // SAFETY: both are at least `len` bytes long; four bytes are read before they are written.
    unsafe { sum(p, a.as_ptr(), y, y, len) };
}

/// # Safety
/// `len` bytes may be read from `a` and `b`, and written to `y`, which may be `b`.
#[inline(always)]
unsafe fn sum(p: &AddParams, a: *const i8, b: *const i8, y: *mut i8, len: usize) {
    // SAFETY: the tail-predicated loop touches exactly `len` bytes.
    unsafe {
        asm!(
            "vdup.32 q2, {lo}",
            "vdup.32 q3, {hi}",
            "wlstp.32 lr, {len}, 3f",
            "2:",
            "vldrb.s32 q0, [r0], #4",
            "vldrb.s32 q1, [r1], #4",
            "vmul.i32 q0, q0, {mul_a}",
            "vmla.s32 q0, q1, {mul_b}",
            "vadd.i32 q0, q0, {bias}",
            "vshl.s32 q0, {shift}",
            "vmax.s32 q0, q0, q2",
            "vmin.s32 q0, q0, q3",
            "vstrb.32 q0, [r2], #4",
            "letp lr, 2b",
            "3:",
            lo = in(reg) p.lo, hi = in(reg) p.hi, len = in(reg) len,
            mul_a = in(reg) p.mul[0], mul_b = in(reg) p.mul[1], bias = in(reg) p.bias,
            shift = in(reg) -(p.shift as i32),
            inout("r0") a => _, inout("r1") b => _, inout("r2") y => _, out("lr") _,
            out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _, out("d6") _, out("d7") _,
            options(nostack),
        );
    }
}

/// `y = table[x + 128]`.
pub fn lut(table: &[i8; 256], x: &[i8], y: &mut [i8]) {
    // SAFETY: the tail-predicated loop touches exactly as many bytes as the shorter slice has, and every byte is an
    // index into the table.
    unsafe {
        asm!(
            "vmov.i8 q1, #0x80",
            "wlstp.8 lr, {len}, 3f",
            "2:",
            "vldrb.u8 q0, [{x}], #16",
            "veor q0, q0, q1",
            "vldrb.u8 q2, [{table}, q0]",
            "vstrb.8 q2, [{y}], #16",
            "letp lr, 2b",
            "3:",
            len = in(reg) x.len().min(y.len()), table = in(reg) table.as_ptr(),
            x = inout(reg) x.as_ptr() => _, y = inout(reg) y.as_mut_ptr() => _, out("lr") _,
            out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _, options(nostack),
        );
    }
}

/// Maximum over the valid taps.
pub fn max_pool(g: &Geometry, x: &[i8], y: &mut [i8]) {
    let channels = g.output[2];
    for (position, y) in y.chunks_exact_mut(channels).enumerate() {
        let window = Window::new(g, position);
        if window.rows.is_empty() || window.columns.is_empty() {
            y.fill(i8::MIN);
        }
        let mut first = true;
        for row in window.rows.clone() {
            for column in window.columns.clone() {
                let x = &x[window.at(row, column)..][..channels];
                if core::mem::take(&mut first) { y.copy_from_slice(x) } else { max_onto(x, y) }
            }
        }
    }
}

/// The larger of each byte of two slices of one length, in place of the second.
#[inline(always)]
fn max_onto(x: &[i8], y: &mut [i8]) {
    // SAFETY: the tail-predicated loop touches exactly as many bytes as the shorter slice has.
    unsafe {
        asm!(
            "wlstp.8 lr, {len}, 3f",
            "2:",
            "vldrb.u8 q0, [{x}], #16",
            "vldrb.u8 q1, [{y}]",
            "vmax.s8 q0, q0, q1",
            "vstrb.8 q0, [{y}], #16",
            "letp lr, 2b",
            "3:",
            len = in(reg) x.len().min(y.len()), x = inout(reg) x.as_ptr() => _, y = inout(reg) y.as_mut_ptr() => _,
            out("lr") _, out("d0") _, out("d1") _, out("d2") _, out("d3") _, options(nostack),
        );
    }
}
