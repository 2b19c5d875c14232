//! Convolution with every weight stored: tiles of four outputs × two pixels.
//!
//! A turn of the inner loop takes 16 taps: two vectors of values, four of weights, eight `VMLADAVA`, each of which
//! adds 16 products to a register. These are the eight even ones, so pointers live in the odd ones.

use core::arch::naked_asm;

use bytemuck::cast_slice_mut;

use super::columns::Windows;
use super::linear;
use crate::format::Requant;
use crate::kernels::{Geometry, Layer};

/// Taps of a tile.
pub const STEP: usize = 16;
/// Outputs of a tile.
pub const ROWS: usize = 4;

/// What [`tiles`] gets. The assembler knows the offsets of these fields.
#[repr(C)]
struct Tiles {
    y: [*mut i8; 2],
    requant_end: *const Requant,
    zero_out: i32,
    left_shift: u32,
    /// The last block of taps of both pixels, which may be shorter than a vector.
    tails: [*const i8; 2],
    /// Both pixels.
    x: [*const i8; 2],
    /// Bytes of weights before the last block of a row of tiles.
    tail_weights: usize,
    /// Bytes of code that the first turn of the loop leaves out.
    entry: usize,
    weights: *const i8,
    requant: *const Requant,
    /// Taps in the last block, 1 to 16.
    tail_len: usize,
    lo: i32,
    hi: i32,
    /// Pairs of pixels, at least one.
    pairs: usize,
    /// From a pair to the next in the input.
    x_step: usize,
    /// From the end of a pair's first result to the start of the next pair's.
    y_gap: usize,
    /// The assembler keeps the address that `entry` leads to here.
    entry_address: usize,
}

/// Code bytes of a block in the loop of [`tiles`].
const BLOCK_BYTES: usize = 14 * 4;
/// How often that loop is unrolled.
const UNROLL: usize = 4;

/// `None` when the shape is not for this kernel; nothing is written then.
pub fn conv(g: &Geometry, l: &Layer, weights: &[i8], x: &[i8], y: &mut [i8], scratch: &mut [u8]) -> Option<()> {
    if !g.fits(x, y) {
        return None;
    }
    let [_, _, in_c] = g.input;
    let [out_h, out_w, out_c] = g.output;
    let (k, pixels) = (g.kernel[0] * g.kernel[1] * in_c, out_h * out_w);
    let mut matrix = Matrix::new(l, weights, k, out_c)?;
    let in_order = g.kernel == [1, 1] && g.stride == [1, 1] && g.pad == [0, 0] && g.input == [out_h, out_w, in_c];
    if in_order {
        let even = pixels & !1;
        let second = x.get(k..).unwrap_or_default();
        if even > 0 {
            matrix.run([x, second], even / 2, &mut y[..even * out_c]);
        }
        if even < pixels {
            linear::linear(l, weights, x.get(even * k..)?.get(..k)?, &mut y[even * out_c..])?;
        }
        return Some(());
    }
    let (first, second) = cast_slice_mut::<u8, i8>(scratch).get_mut(..2 * k)?.split_at_mut(k);
    let mut windows = Windows::new(g, l.zero_in, x);
    let mut pairs = y.chunks_exact_mut(2 * out_c);
    for y in &mut pairs {
        let columns = [windows.next(first), windows.next(second)];
        matrix.run(columns, 1, y);
    }
    match pairs.into_remainder() {
        [] => Some(()),
        last => linear::linear(l, weights, windows.next(first), last),
    }
}

/// The packed matrix of a layer, whose lengths have been checked.
struct Matrix<'a> {
    l: &'a Layer<'a>,
    weights: &'a [i8],
    k: usize,
    out_c: usize,
    /// What all calls share.
    tiles: Tiles,
}

impl<'a> Matrix<'a> {
    fn new(l: &'a Layer, weights: &'a [i8], k: usize, out_c: usize) -> Option<Self> {
        let (whole, blocks) = (out_c / ROWS * ROWS, k.div_ceil(STEP));
        let row_len = blocks * ROWS * STEP;
        if weights.len() != out_c.div_ceil(ROWS) * row_len || l.requant.len() != out_c {
            return None;
        }
        let tiles = Tiles {
            tails: [core::ptr::null(); 2],
            x: [core::ptr::null(); 2],
            tail_weights: row_len - ROWS * STEP,
            entry: if blocks == 1 { UNROLL } else { (blocks - 1).wrapping_neg() % UNROLL } * BLOCK_BYTES,
            zero_out: l.zero_out,
            left_shift: l.left_shift,
            y: [core::ptr::null_mut(); 2],
            requant_end: l.requant[..whole].as_ptr_range().end,
            weights: weights.as_ptr(),
            requant: l.requant.as_ptr(),
            tail_len: k - (blocks - 1) * STEP,
            lo: l.lo,
            hi: l.hi,
            pairs: 1,
            x_step: 2 * k,
            y_gap: 2 * out_c - whole,
            entry_address: 0,
        };
        Some(Matrix { l, weights, k, out_c, tiles })
    }

    /// Pairs of pixels; the values of the next one lie `2 k` bytes behind those of the last.
    #[inline(always)]
    fn run(&mut self, x: [&[i8]; 2], pairs: usize, y: &mut [i8]) {
        let (k, out_c) = (self.k, self.out_c);
        let reach = (2 * pairs - 2) * k + k;
        assert!(x[0].len() >= reach && x[1].len() >= reach);
        assert!(pairs > 0 && y.len() == 2 * pairs * out_c);
        if out_c >= ROWS {
            let tail = self.k.div_ceil(STEP) * STEP - STEP;
            let tiles = &mut self.tiles;
            tiles.x = [x[0].as_ptr(), x[1].as_ptr()];
            tiles.tails = [x[0][tail..].as_ptr(), x[1][tail..].as_ptr()];
            tiles.y = [y.as_mut_ptr(), y[out_c..].as_mut_ptr()];
            tiles.pairs = pairs;
            // SAFETY: there are `k` values for each pixel; a record and `k` weights (filled up to whole tiles) for
            // each output of whole tiles; and room for `out_c` results at each of the pixels.
            unsafe { self::tiles(tiles) };
        }
        if !out_c.is_multiple_of(ROWS) {
            self.rest(x, pairs, y);
        }
    }

    /// The last tile, which has rows that are no outputs: its records and results go through memory of their own.
    #[inline(never)]
    fn rest(&self, x: [&[i8]; 2], pairs: usize, y: &mut [i8]) {
        let (k, out_c) = (self.k, self.out_c);
        let (whole, blocks) = (out_c / ROWS * ROWS, k.div_ceil(STEP));
        let rest = out_c - whole;
        let mut requant = [Requant { bias: 0, mul: 0 }; ROWS];
        requant[..rest].copy_from_slice(&self.l.requant[whole..]);
        for (pair, y) in (0..pairs).zip(y.chunks_mut(2 * out_c)) {
            let x = x.map(|x| &x[pair * 2 * k..][..k]);
            let mut results = [[0i8; ROWS]; 2];
            let mut tiles = Tiles {
                x: x.map(<[i8]>::as_ptr),
                tails: x.map(|x| x[(blocks - 1) * STEP..].as_ptr()),
                y: results.each_mut().map(|r| r.as_mut_ptr()),
                weights: self.weights[whole * blocks * STEP..].as_ptr(),
                requant: requant.as_ptr_range().start,
                requant_end: requant.as_ptr_range().end,
                pairs: 1,
                ..self.tiles
            };
            // SAFETY: as in `run`, for a tile with four records and room for four results at each of two pixels.
            unsafe { self::tiles(&mut tiles) };
            for (y, results) in y.chunks_mut(out_c).zip(&results) {
                y[whole..].copy_from_slice(&results[..rest]);
            }
        }
    }
}

/// All rows of tiles for each pair of pixels.
///
/// # Safety
/// The pointers bound memory as the fields say: rows of whole tiles, a multiple of four (and not zero) records and
/// as many results at both pixels of each pair.
#[unsafe(naked)]
unsafe extern "C" fn tiles(tiles: &mut Tiles) {
    // r1 and r3 pixels, r5 weights, r9 records, r11 `tiles`, r7 spare; r0, r2, r4, r6 the four outputs of the first
    // pixel, r8, r10, r12, lr of the second; q6 and q7 the range of values; P0 the taps of the last block.
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "sub sp, sp, #4",
        "vpush {{d8-d15}}",
        "mov r11, r0",
        "ldr r0, [r11, #40]",
        "adr.w r1, 3f",
        "add r0, r0, r1",
        "orr r0, r0, #1",
        "str r0, [r11, #76]",
        "ldr r0, [r11, #52]",
        "vctp.8 r0",
        "ldrd r0, r2, [r11, #56]",
        "vdup.32 q6, r0",
        "vdup.32 q7, r2",
        "1:",
        "ldrd r5, r9, [r11, #44]",
        // A row of tiles: its last block first, for the sums begin there.
        "2:",
        "ldr r7, [r11, #36]",
        "ldrd r1, r3, [r11, #20]",
        "add r7, r5, r7",
        "vpstt",
        "vldrbt.u8 q0, [r1]",
        "vldrbt.u8 q1, [r3]",
        "vldrb.u8 q2, [r7]",
        "vldrb.u8 q3, [r7, #16]",
        "vmladav.s8 r0, q0, q2",
        "vmladav.s8 r8, q1, q2",
        "vldrb.u8 q4, [r7, #32]",
        "vmladav.s8 r2, q0, q3",
        "vmladav.s8 r10, q1, q3",
        "vldrb.u8 q5, [r7, #48]",
        "mov r7, r1",
        "vmladav.s8 r4, q0, q4",
        "vmladav.s8 r12, q1, q4",
        "ldrd r1, r3, [r11, #28]",
        "vmladav.s8 r6, q0, q5",
        "vmladav.s8 lr, q1, q5",
        "ldr pc, [r11, #76]",
        ".p2align 2",
        "3:",
        ".rept 4", // UNROLL times BLOCK_BYTES
        "vldrb.u8 q0, [r1], #16",
        "vldrb.u8 q2, [r5], #16",
        "vldrb.u8 q1, [r3], #16",
        "vmladava.s8 r0, q0, q2",
        "vldrb.u8 q3, [r5], #16",
        "vmladava.s8 r8, q1, q2",
        "vldrb.u8 q4, [r5], #16",
        "vmladava.s8 r2, q0, q3",
        "vmladava.s8 r10, q1, q3",
        "vldrb.u8 q5, [r5], #16",
        "vmladava.s8 r4, q0, q4",
        "vmladava.s8 r12, q1, q4",
        "vmladava.s8 r6, q0, q5",
        "vmladava.s8 lr, q1, q5",
        ".endr",
        "cmp r1, r7",
        "bne.w 3b",
        "add r5, r5, #64",
        requantise_pair!("ldm r11, {{r0, r2, r4, r6, r8}}", "r9"),
        "vstrb.32 q0, [r0], #4",
        "vstrb.32 q1, [r2], #4",
        "strd r0, r2, [r11]",
        "cmp r9, r4",
        "bne.w 2b",
        // The next pair of pixels.
        "ldr r7, [r11, #64]",
        "subs r7, r7, #1",
        "beq 4f",
        "str r7, [r11, #64]",
        "ldrd r7, r9, [r11, #68]",
        "add r0, r0, r9",
        "add r2, r2, r9",
        "strd r0, r2, [r11]",
        "ldrd r0, r1, [r11, #20]",
        "ldrd r2, r3, [r11, #28]",
        "add r0, r0, r7",
        "add r1, r1, r7",
        "add r2, r2, r7",
        "add r3, r3, r7",
        "strd r0, r1, [r11, #20]",
        "strd r2, r3, [r11, #28]",
        "b.w 1b",
        "4:",
        "vpop {{d8-d15}}",
        "add sp, sp, #4",
        "pop {{r4-r11, pc}}",
    )
}
