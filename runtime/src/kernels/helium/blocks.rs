//! Convolution and linear operator with only some tiles of weights stored.
//!
//! As [`super::conv`] and [`super::linear`], but a stored tile names the block of taps that it meets: one load and a
//! shifted addition. Columns are filled up to whole blocks with zeros, for tiles are read whole.

use core::arch::naked_asm;

use bytemuck::{cast_slice, cast_slice_mut};

use super::columns::{Windows, copy, fill};
use super::conv::{ROWS, STEP};
use crate::format::Requant;
use crate::kernels::{Columns, Geometry, Layer};

/// The stored tiles of a matrix, see [`crate::kernels::Weights::Blocks`].
pub struct Stored<'a> {
    pub counts: &'a [u16],
    pub columns: Columns<'a>,
    pub tiles: &'a [i8],
}

/// What the assembler gets; it knows the offsets of these fields.
#[derive(Clone, Copy)]
#[repr(C)]
struct Rows {
    y: [*mut i8; 2],
    requant: *const Requant,
    zero_out: i32,
    left_shift: u32,
    counts: *const u16,
    counts_end: *const u16,
    /// The values of a pixel, and how far behind them those of the second are.
    x: *const i8,
    second: isize,
    tiles: *const i8,
    columns: *const u8,
    requant_start: *const Requant,
    counts_start: *const u16,
    /// Pairs of pixels, at least one.
    pairs: usize,
    /// From a pair to the next in the input.
    x_step: usize,
    /// From the end of a pair's first result to the start of the next pair's.
    y_gap: usize,
    lo: i32,
    hi: i32,
}

/// `None` when the shape is not for this kernel; nothing is written then.
pub fn conv(g: &Geometry, l: &Layer, stored: &Stored, x: &[i8], y: &mut [i8], scratch: &mut [u8]) -> Option<()> {
    if !g.fits(x, y) {
        return None;
    }
    let [out_h, out_w, out_c] = g.output;
    let (k, pixels) = (g.kernel[0] * g.kernel[1] * g.input[2], out_h * out_w);
    let matrix = Matrix::new(l, stored, k, out_c)?;
    let in_order = g.kernel == [1, 1] && g.stride == [1, 1] && g.pad == [0, 0] && g.input[..2] == g.output[..2];
    if in_order && k == matrix.filled && out_c.is_multiple_of(ROWS) {
        let even = pixels & !1;
        if even > 0 {
            matrix.run(matrix.pair, [x, x.get(k..).unwrap_or_default()], even / 2, &mut y[..even * out_c]);
        }
        if even < pixels {
            let x = &x[even * k..];
            matrix.run(matrix.single, [x, x], 1, &mut y[even * out_c..]);
        }
        return Some(());
    }
    let scratch = cast_slice_mut::<u8, i8>(scratch).get_mut(..2 * matrix.filled)?;
    fill(scratch, 0);
    let (first, second) = scratch.split_at_mut(matrix.filled);
    let mut windows = Windows::new(g, l.zero_in, x);
    let mut pairs = y.chunks_exact_mut(2 * out_c);
    for y in &mut pairs {
        let columns = [windows.next_filled(k, first), windows.next_filled(k, second)];
        matrix.run(matrix.pair, columns, 1, y);
    }
    let last = pairs.into_remainder();
    if !last.is_empty() {
        let column = windows.next_filled(k, first);
        matrix.run(matrix.single, [column, column], 1, last);
    }
    Some(())
}

/// `None` when the shape is not for this kernel; nothing is written then.
pub fn linear(l: &Layer, stored: &Stored, x: &[i8], y: &mut [i8], scratch: &mut [u8]) -> Option<()> {
    let k = x.len();
    if k == 0 || y.is_empty() {
        return None;
    }
    let matrix = Matrix::new(l, stored, k, y.len())?;
    let x = if k == matrix.filled {
        x
    } else {
        let filled = cast_slice_mut::<u8, i8>(scratch).get_mut(..matrix.filled)?;
        copy(&mut filled[..k], x);
        fill(&mut filled[k..], 0);
        filled
    };
    matrix.run(matrix.single, [x, x], 1, y);
    Some(())
}

/// Rows of tiles for one pixel or two.
type Kernel = unsafe extern "C" fn(&mut Rows);

/// The stored tiles of a layer, whose lengths have been checked.
struct Matrix<'a> {
    l: &'a Layer<'a>,
    counts: &'a [u16],
    columns: &'a [u8],
    column_len: usize,
    tiles: &'a [i8],
    /// Length of a filled column.
    filled: usize,
    out_c: usize,
    pair: Kernel,
    single: Kernel,
}

impl<'a> Matrix<'a> {
    fn new(l: &'a Layer, stored: &Stored<'a>, k: usize, out_c: usize) -> Option<Self> {
        let Stored { counts, columns, tiles } = *stored;
        let across = k.div_ceil(STEP);
        let count: usize = counts.iter().map(|&c| c as usize).sum();
        let (bytes, column_len, least, pair, single) = match columns {
            // True of a verified file, but the safety of assembler does not rest on that.
            Columns::U8(c) => (c, 1, c.iter().all(|&c| (c as usize) < across), pair8 as Kernel, single8 as Kernel),
            Columns::U16(c) => {
                (cast_slice(c), 2, c.iter().all(|&c| (c as usize) < across), pair16 as Kernel, single16 as Kernel)
            }
        };
        let fits = counts.len() == out_c.div_ceil(ROWS)
            && columns.len() == count
            && tiles.len() == count * ROWS * STEP
            && l.requant.len() == out_c
            && least;
        fits.then_some(Matrix {
            l,
            counts,
            columns: bytes,
            column_len,
            tiles,
            filled: across * STEP,
            out_c,
            pair,
            single,
        })
    }

    /// All outputs of one pixel (then `y` has room for it alone) or of pairs of pixels; the values of the next pair lie
    /// two columns behind those of the last.
    #[inline(always)]
    fn run(&self, kernel: Kernel, x: [&[i8]; 2], pairs: usize, y: &mut [i8]) {
        let (l, out_c) = (self.l, self.out_c);
        let whole = out_c / ROWS;
        let second = if y.len() > out_c { out_c } else { 0 };
        let reach = (2 * pairs - 1) * self.filled;
        assert!(x[0].len() >= reach && x[1].len() >= reach && y.len() == (2 * pairs - 1) * out_c + second);
        assert!(pairs == 1 || whole * ROWS == out_c);
        let counts = self.counts[..whole].as_ptr_range();
        let mut rows = Rows {
            y: [y.as_mut_ptr(), y[second..].as_mut_ptr()],
            requant: l.requant.as_ptr(),
            counts: counts.start,
            zero_out: l.zero_out,
            left_shift: l.left_shift,
            counts_end: counts.end,
            x: x[0].as_ptr(),
            second: (x[1].as_ptr().addr() as isize).wrapping_sub(x[0].as_ptr().addr() as isize),
            tiles: self.tiles.as_ptr(),
            columns: self.columns.as_ptr(),
            requant_start: l.requant.as_ptr(),
            counts_start: counts.start,
            pairs,
            x_step: 2 * self.filled,
            y_gap: 2 * out_c - whole * ROWS,
            lo: l.lo,
            hi: l.hi,
        };
        if whole > 0 {
            // SAFETY: `Matrix::new` has checked that there are as many columns and tiles as the counts say, that each
            // column leads to a block of a filled pixel, and that there are four records a row of whole tiles; `y`
            // has room for `out_c` results at each pixel.
            unsafe { kernel(&mut rows) };
        }
        if whole * ROWS < out_c {
            self.rest(kernel, rows, y);
        }
    }

    /// The last row of tiles, which has rows that are no outputs: its records and results go through memory of their
    /// own.
    #[inline(never)]
    fn rest(&self, kernel: Kernel, rows: Rows, y: &mut [i8]) {
        let whole = self.out_c / ROWS;
        let last = &self.counts[whole..];
        let before = self.tiles.len() / (ROWS * STEP) - last[0] as usize;
        let mut requant = [Requant { bias: 0, mul: 0 }; ROWS];
        let mut results = [[0i8; ROWS]; 2];
        let rest = self.out_c - whole * ROWS;
        requant[..rest].copy_from_slice(&self.l.requant[whole * ROWS..]);
        let mut rows = Rows {
            tiles: self.tiles[before * ROWS * STEP..].as_ptr(),
            columns: self.columns[before * self.column_len..].as_ptr(),
            counts: last.as_ptr_range().start,
            counts_end: last.as_ptr_range().end,
            requant: requant.as_ptr(),
            y: results.each_mut().map(|r| r.as_mut_ptr()),
            ..rows
        };
        // SAFETY: as in `run`, for one row of tiles with four records and room for four results at each pixel.
        unsafe { kernel(&mut rows) };
        for (y, results) in y.chunks_mut(self.out_c).zip(&results) {
            y[whole * ROWS..].copy_from_slice(&results[..rest]);
        }
    }
}

/// The function for two pixels, whose columns are loaded by `$load`.
macro_rules! pair {
    ($name:ident, $load:literal) => {
        /// Rows of tiles for two pixels.
        ///
        /// # Safety
        /// The pointers bound memory as the fields of `rows` say; there is at least one row.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(rows: &mut Rows) {
            // r1 x, r3 distance of the second pixel, r5 tiles, r9 columns, r11 tiles left in the row, r7 spare; sums as
            // in conv.rs. The address of `rows` lies on the stack.
            naked_asm!(
                ".cpu cortex-m55",
                "push {{r0, r4-r11, lr}}",
                "vpush {{d8-d15}}",
                "mov r7, r0",
                "ldrd r0, r2, [r7, #64]",
                "vdup.32 q6, r0",
                "vdup.32 q7, r2",
                // A pair of pixels.
                "1:",
                "ldrd r1, r3, [r7, #28]",
                "ldrd r5, r9, [r7, #36]",
                "ldr r10, [r7, #20]",
                // A row of tiles: the sums begin with the first one.
                "2:",
                "ldrh r11, [r10]",
                "cmp r11, #0",
                "beq.w 6f",
                $load,
                "add r7, r1, r7, lsl #4",
                "vldrb.u8 q0, [r7]",
                "add r7, r7, r3",
                "vldrb.u8 q2, [r5], #16",
                "vldrb.u8 q1, [r7]",
                "vmladav.s8 r0, q0, q2",
                "vldrb.u8 q3, [r5], #16",
                "vmladav.s8 r8, q1, q2",
                "vldrb.u8 q4, [r5], #16",
                "vmladav.s8 r2, q0, q3",
                "vmladav.s8 r10, q1, q3",
                "vldrb.u8 q5, [r5], #16",
                "vmladav.s8 r4, q0, q4",
                "vmladav.s8 r12, q1, q4",
                "subs.w r11, r11, #1",
                "vmladav.s8 r6, q0, q5",
                "vmladav.s8 lr, q1, q5",
                "beq.w 4f",
                "3:",
                $load,
                "add r7, r1, r7, lsl #4",
                "vldrb.u8 q0, [r7]",
                "add r7, r7, r3",
                "vldrb.u8 q2, [r5], #16",
                "vldrb.u8 q1, [r7]",
                "vmladava.s8 r0, q0, q2",
                "vldrb.u8 q3, [r5], #16",
                "vmladava.s8 r8, q1, q2",
                "vldrb.u8 q4, [r5], #16",
                "vmladava.s8 r2, q0, q3",
                "vmladava.s8 r10, q1, q3",
                "vldrb.u8 q5, [r5], #16",
                "vmladava.s8 r4, q0, q4",
                "vmladava.s8 r12, q1, q4",
                "subs.w r11, r11, #1",
                "vmladava.s8 r6, q0, q5",
                "vmladava.s8 lr, q1, q5",
                "bne.w 3b",
                "4:",
                "ldr r7, [sp, #64]",
                // To r0, r2, r4, r6, r8, r10, r12: results, records, zero point, shift, counts, their end.
                requantise_pair!("ldm r7, {{r0, r2, r4, r6, r8, r10, r12}}", "r4"),
                "vstrb.32 q0, [r0], #4",
                "vstrb.32 q1, [r2], #4",
                "add r10, r10, #2",
                "stm r7, {{r0, r2, r4}}",
                "str r10, [r7, #20]",
                "cmp r10, r12",
                "bne.w 2b",
                // The next pair.
                "ldr r11, [r7, #52]",
                "subs r11, r11, #1",
                "beq 5f",
                "str r11, [r7, #52]",
                "ldr r1, [r7, #28]",
                "ldrd r8, r10, [r7, #56]",
                "add r1, r1, r8",
                "str r1, [r7, #28]",
                "add r0, r0, r10",
                "add r2, r2, r10",
                "ldrd r4, r10, [r7, #44]",
                "stm r7, {{r0, r2, r4}}",
                "str r10, [r7, #20]",
                "b.w 1b",
                "5:",
                "vpop {{d8-d15}}",
                "add sp, sp, #4",
                "pop {{r4-r11, pc}}",
                // A row without tiles.
                "6:",
                "mov.w r0, #0",
                "mov.w r2, #0",
                "mov.w r4, #0",
                "mov.w r6, #0",
                "mov.w r8, #0",
                "mov.w r10, #0",
                "mov.w r12, #0",
                "mov.w lr, #0",
                "b.w 4b",
            )
        }
    };
}

/// The function for one pixel, whose columns are loaded by `$load`.
macro_rules! single {
    ($name:ident, $load:literal) => {
        /// Rows of tiles for one pixel.
        ///
        /// # Safety
        /// The pointers bound memory as the fields of `rows` say; there is at least one row.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(rows: &mut Rows) {
            // r1 x, r3 results, r5 tiles, r9 columns, r8 counts, r10 their end, r11 records, r12 `rows`, r7 spare; the
            // sums in r0, r2, r4, r6.
            naked_asm!(
                ".cpu cortex-m55",
                "push {{r4-r11, lr}}",
                "sub sp, sp, #4",
                "vpush {{d8-d15}}",
                "mov r12, r0",
                "ldrd r0, r2, [r12, #64]",
                "vdup.32 q6, r0",
                "vdup.32 q7, r2",
                "ldr r1, [r12, #28]",
                "ldrd r5, r9, [r12, #36]",
                "ldrd r8, r10, [r12, #20]",
                "ldr r11, [r12, #8]",
                "ldr r3, [r12]",
                "1:",
                "mov r0, #0",
                "mov r2, #0",
                "mov r4, #0",
                "mov r6, #0",
                "ldrh r7, [r8], #2",
                "wls lr, r7, 3f",
                "2:",
                $load,
                "add r7, r1, r7, lsl #4",
                "vldrb.u8 q0, [r7]",
                "vldrb.u8 q1, [r5], #16",
                "vldrb.u8 q2, [r5], #16",
                "vmladava.s8 r0, q0, q1",
                "vldrb.u8 q3, [r5], #16",
                "vmladava.s8 r2, q0, q2",
                "vldrb.u8 q4, [r5], #16",
                "vmladava.s8 r4, q0, q3",
                "vmladava.s8 r6, q0, q4",
                "le lr, 2b",
                "3:",
                "vmov q0[2], q0[0], r0, r4",
                "vmov q0[3], q0[1], r2, r6",
                "vld20.32 {{q1, q2}}, [r11]",
                "vld21.32 {{q1, q2}}, [r11]!",
                "ldrd r0, r2, [r12, #12]",
                "vadd.i32 q0, q0, q1",
                "vshl.s32 q0, r2",
                "vrmulh.s32 q0, q0, q2",
                "vadd.i32 q0, q0, r0",
                "vmax.s32 q0, q0, q6",
                "vmin.s32 q0, q0, q7",
                "vstrb.32 q0, [r3], #4",
                "cmp r8, r10",
                "bne 1b",
                "vpop {{d8-d15}}",
                "add sp, sp, #4",
                "pop {{r4-r11, pc}}",
            )
        }
    };
}

pair!(pair8, "ldrb r7, [r9], #1");
pair!(pair16, "ldrh r7, [r9], #2");
single!(single8, "ldrb r7, [r9], #1");
single!(single16, "ldrh r7, [r9], #2");
