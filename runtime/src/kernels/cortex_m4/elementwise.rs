//! The residual sum and the maximum over a window, four bytes at a time.

use core::arch::naked_asm;

use bytemuck::{cast_slice, cast_slice_mut};

use super::max4;
use crate::kernels::portable::Window;
use crate::kernels::{AddParams, Geometry};

/// What [`sum`] gets. The assembler knows the offsets of these fields.
#[repr(C)]
struct Sum {
    a: *const i8,
    b: *const i8,
    y: *mut i8,
    /// Behind the last word of `a`.
    a_end: *const i8,
    mul: [i16; 2],
    bias: i32,
    shift: u32,
}

/// `None` when there is too little for this kernel; nothing is written then.
#[inline(never)]
pub fn add(p: &AddParams, a: &[i8], b: &[i8], y: &mut [i8]) -> Option<()> {
    let n = y.len();
    // Two 16-bit multipliers are one operand; larger ones are left to the portable kernel.
    let mul = [i16::try_from(p.mul[0]).ok()?, i16::try_from(p.mul[1]).ok()?];
    if n < 4 || a.len() != n || b.len() != n {
        return None;
    }
    words(p, mul, &a[..n & !3], &b[..n & !3], &mut y[..n & !3]);
    if !n.is_multiple_of(4) {
        words(p, mul, &a[n - 4..], &b[n - 4..], &mut y[n - 4..]);
    }
    Some(())
}

fn words(p: &AddParams, mul: [i16; 2], a: &[i8], b: &[i8], y: &mut [i8]) {
    assert!(a.len() == b.len() && a.len() == y.len() && a.len().is_multiple_of(4) && !a.is_empty());
    // SAFETY: three slices of one length, which is a multiple of four and not zero.
    unsafe {
        sum(Sum {
            a: a.as_ptr_range().start,
            b: b.as_ptr(),
            y: y.as_mut_ptr(),
            a_end: a.as_ptr_range().end,
            mul,
            bias: p.bias,
            shift: p.shift,
        });
    }
}

/// # Safety
/// The pointers bound equally many bytes: a multiple of four, and not zero.
#[unsafe(naked)]
unsafe extern "C" fn sum(sum: Sum) {
    // r0 a, r1 b, r2 y, r3 end of a, r4 both multipliers, r5 bias, r6 shift; a pair of values of `a` and `b`
    // is one operand of SMLAD. The last three words of `sum` come on the stack, behind nine saved registers.
    naked_asm!(
        "push {{r4-r11, lr}}",
        "ldr r4, [sp, #36]",
        "ldrd r5, r6, [sp, #40]",
        "1:",
        "ldr r8, [r0], #4",
        "ldr r9, [r1], #4",
        "sxtb16 r10, r8",
        "sxtb16 r11, r9",
        "sxtb16 r8, r8, ror #8",
        "sxtb16 r9, r9, ror #8",
        "pkhbt r12, r10, r11, lsl #16", // element 0
        "pkhtb r10, r11, r10, asr #16", // element 2
        "pkhbt lr, r8, r9, lsl #16",    // element 1
        "pkhtb r8, r9, r8, asr #16",    // element 3
        "smlad r12, r12, r4, r5",
        "smlad r10, r10, r4, r5",
        "smlad lr, lr, r4, r5",
        "smlad r8, r8, r4, r5",
        "asr r12, r12, r6",
        "asr r10, r10, r6",
        "asr lr, lr, r6",
        "asr r8, r8, r6",
        "ssat r12, #8, r12",
        "ssat r10, #8, r10",
        "ssat lr, #8, lr",
        "ssat r8, #8, r8",
        "strb r12, [r2], #1",
        "strb lr, [r2], #1",
        "strb r10, [r2], #1",
        "strb r8, [r2], #1",
        "cmp r0, r3",
        "bne 1b",
        "pop {{r4-r11, pc}}",
    )
}

/// Maximum over the valid taps.
#[inline(never)]
pub fn max_pool(g: &Geometry, x: &[i8], y: &mut [i8]) {
    let channels = g.output[2];
    for (position, y) in y.chunks_exact_mut(channels).enumerate() {
        let window = Window::new(g, position);
        y.fill(i8::MIN);
        let (y, y_rest) = cast_slice_mut::<i8, u8>(y).as_chunks_mut::<4>();
        for row in window.rows.clone() {
            for column in window.columns.clone() {
                let x = &x[window.at(row, column)..][..channels];
                let (x, x_rest) = cast_slice::<i8, u8>(x).as_chunks::<4>();
                for (y, x) in y.iter_mut().zip(x) {
                    *y = max4(u32::from_ne_bytes(*y), u32::from_ne_bytes(*x)).to_ne_bytes();
                }
                for (y, x) in y_rest.iter_mut().zip(x_rest) {
                    *y = (*y as i8).max(*x as i8) as u8;
                }
            }
        }
    }
}
