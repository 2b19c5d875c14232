//! Running a model: one arena, one loop over the operators.

use core::marker::PhantomData;
use core::ops::Range;

use bytemuck::{cast_slice, cast_slice_mut};

use crate::Error;
use crate::format::{Model, OpRecord, TensorRecord, flag, op};
use crate::kernels::{AddParams, Geometry, Kernels, Layer, MulParams, Native, portable};
use crate::strips::{geometry, is_staged, is_windowed, kernel_scratch_len, needed, part, rows_of, strips};

/// Bytes at an address that is a multiple of 16: for `include_bytes!` of a model in flash.
///
/// ```
/// # use evenkeel_runtime::Aligned;
/// # macro_rules! include_bytes { ($path:literal) => { b"KEEL" } }
/// static MODEL: &Aligned<[u8]> = &Aligned(*include_bytes!("har.keel"));
/// assert!(MODEL.0.as_ptr().addr().is_multiple_of(16));
/// ```
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub struct Aligned<B: ?Sized>(pub B);

/// `N` aligned bytes of RAM for a session, for firmware that knows its model's arena at build time.
pub type Arena<const N: usize> = Aligned<[u8; N]>;

impl<const N: usize> Arena<N> {
    /// Zeroed, so that a `static` of it takes no flash.
    pub const fn new() -> Self {
        Aligned([0; N])
    }
}

impl<const N: usize> Default for Arena<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// A model and the memory to run it in.
///
/// The kernel set `K` decides how fast a run is, never what it computes.
#[derive(Debug)]
pub struct Session<'m, 'a, K: Kernels = Native> {
    model: &'m Model<'m>,
    arena: &'a mut [u8],
    kernels: PhantomData<K>,
}

impl<'m, 'a> Session<'m, 'a> {
    /// A session with the fastest kernel set of this build.
    ///
    /// # Errors
    /// See [`Session::with_kernels`].
    pub fn new(model: &'m Model<'m>, arena: &'a mut [u8]) -> Result<Self, Error> {
        Self::with_kernels(model, arena)
    }
}

impl<'m, 'a, K: Kernels> Session<'m, 'a, K> {
    /// A session with the kernel set `K`: `Session::<Portable>::with_kernels(&model, &mut arena)`.
    ///
    /// # Errors
    /// When `arena` is shorter than [`Model::arena_len`] or does not start at a multiple of 4, and when the
    /// kernel set cannot run the model's packing, or the model computes in floats (`FloatSession` runs those).
    pub fn with_kernels(model: &'m Model<'m>, arena: &'a mut [u8]) -> Result<Self, Error> {
        if model.dtype().is_float() {
            return Err(Error::Dtype { dtype: model.dtype().name(), session: "Session" });
        }
        let given = arena.len();
        let Some(arena) = arena.get_mut(..model.arena_len()) else {
            return Err(Error::ArenaTooSmall { needed: model.arena_len(), given });
        };
        if !K::PACKINGS.contains(&model.packing()) {
            return Err(Error::KernelPacking { kernels: K::NAME, packing: model.packing().name() });
        }
        if !arena.as_ptr().addr().is_multiple_of(4) {
            return Err(Error::ArenaAlignment);
        }
        Ok(Session { model, arena, kernels: PhantomData })
    }

    /// The model that runs here.
    pub fn model(&self) -> &'m Model<'m> {
        self.model
    }

    /// The input tensor, H × W × C. A run may overwrite it: fill it before every run.
    pub fn input_mut(&mut self) -> &mut [i8] {
        cast_slice_mut(self.arena.get_mut(self.model.input().range()).unwrap_or_default())
    }

    /// The output tensor, H × W × C, as the last run left it.
    pub fn output(&self) -> &[i8] {
        cast_slice(self.arena.get(self.model.output().range()).unwrap_or_default())
    }

    /// The index of the largest output of the last run; the first one wins a tie.
    pub fn classify(&self) -> usize {
        let values = self.output().iter().enumerate();
        values.fold((0, i8::MIN), |best, (i, &value)| if value > best.1 { (i, value) } else { best }).0
    }

    /// Runs all operators on what [`Session::input_mut`] holds.
    pub fn run(&mut self) {
        self.run_observed(|_| {});
    }

    /// As [`Session::run`], and calls `observe` with an operator's index when it is done.
    pub fn run_observed(&mut self, mut observe: impl FnMut(usize)) {
        for (i, op) in self.model.ops().iter().enumerate() {
            let done = self.step(op);
            debug_assert!(done.is_some(), "operator {i} of a verified model");
            observe(i);
        }
    }

    /// One operator, strip by strip where it has a window, else whole. `None` never happens: verification has proved
    /// that what is read, what is written and the scratch are disjoint pieces of the arena.
    fn step(&mut self, op: &OpRecord) -> Option<()> {
        let tensor = |i: u16| self.model.tensors().get(i as usize);
        let (x, y) = (tensor(op.input)?, tensor(op.output)?);
        let b = if matches!(op.code, op::ADD | op::MUL) { tensor(op.input2)? } else { x };
        let layer = layer(self.model, op, x, y)?;
        for rows in strips(op, y.h) {
            let (scratch, stage) = self.scratch(op, x, y, &rows);
            let out = if is_staged(op, y) { stage.clone() } else { part(op, y, &rows) };
            match op.code {
                op::ADD => self.sum(&add_params(op), x.range(), b.range(), out)?,
                op::MUL => self.mul(op, [x, b, y], out)?,
                op::LUT => self.lut(op, x.range(), out)?,
                _ if is_windowed(op) => {
                    let g = geometry(op, x, y, &rows);
                    let [x, out, scratch] = self.pieces([rows_of(x, &needed(op, x.h, &rows)), out, scratch])?;
                    window::<K>(op, &g, &layer, cast_slice(x), cast_slice_mut(out), scratch);
                }
                _ => {
                    let model = self.model;
                    let [values, out, scratch] = self.pieces([x.range(), out, scratch])?;
                    whole::<K>(model, op, [x, y], &layer, cast_slice(values), cast_slice_mut(out), scratch)?;
                }
            }
            if is_staged(op, y) {
                self.unstage(op, y, &rows, stage)?;
            }
        }
        Some(())
    }

    /// Brings a strip from the scratch to its place.
    fn unstage(&mut self, op: &OpRecord, y: &TensorRecord, rows: &Range<usize>, stage: Range<usize>) -> Option<()> {
        if op.has(flag::FUSED_ADD) {
            let b = self.model.tensors().get(op.input2 as usize)?;
            let (b, y) = (rows_of(b, rows), rows_of(y, rows));
            return self.sum(&add_params(op), stage, b, y);
        }
        let [first, count, channels] = [op.out_channel, op.out_channels, y.c].map(|n| n as usize);
        let [stage, y] = self.pieces([stage, rows_of(y, rows)])?;
        for (y, part) in portable::runs_mut(y, channels).zip(portable::runs(stage, count)) {
            for (y, &value) in y.get_mut(first..first + count)?.iter_mut().zip(part) {
                *y = value;
            }
        }
        Some(())
    }

    /// `a + b` to `y`, which may be the place of either.
    fn sum(&mut self, p: &AddParams, a: Range<usize>, b: Range<usize>, y: Range<usize>) -> Option<()> {
        if y == a || y == b {
            let (other, p) = if y == b { (a, *p) } else { (b, AddParams { mul: [p.mul[1], p.mul[0]], ..*p }) };
            let [other, y] = self.pieces([other, y])?;
            K::add_onto(&p, cast_slice(other), cast_slice_mut(y));
        } else if a == b {
            let [a, y] = self.pieces([a, y])?;
            K::add(p, cast_slice(a), cast_slice(a), cast_slice_mut(y));
        } else {
            let [a, b, y] = self.pieces([a, b, y])?;
            K::add(p, cast_slice(a), cast_slice(b), cast_slice_mut(y));
        }
        Some(())
    }

    /// `a * b` to `out`, which may be the place of `a`.
    fn mul(&mut self, op: &OpRecord, [a, b, y]: [&TensorRecord; 3], out: Range<usize>) -> Option<()> {
        let p = MulParams {
            zero: [a.zero, b.zero],
            mul: self.model.requant(op).first()?.mul,
            left_shift: op.left_shift as u32,
            zero_out: y.zero,
            lo: op.lo as i32,
            hi: op.hi as i32,
        };
        if a.range() == out {
            let [b, y] = self.pieces([b.range(), out])?;
            portable::mul_onto(&p, cast_slice(b), cast_slice_mut(y));
        } else if op.input == op.input2 {
            let [a, y] = self.pieces([a.range(), out])?;
            K::mul(&p, cast_slice(a), cast_slice(a), cast_slice_mut(y));
        } else {
            let [a, b, y] = self.pieces([a.range(), b.range(), out])?;
            K::mul(&p, cast_slice(a), cast_slice(b), cast_slice_mut(y));
        }
        Some(())
    }

    /// A table's values to `out`, which may be the place of `x`.
    fn lut(&mut self, op: &OpRecord, x: Range<usize>, out: Range<usize>) -> Option<()> {
        let table = self.model.table(op)?;
        if x == out {
            portable::lut_onto(table, cast_slice_mut(self.arena.get_mut(out)?));
        } else {
            let [x, out] = self.pieces([x, out])?;
            K::lut(table, cast_slice(x), cast_slice_mut(out));
        }
        Some(())
    }

    /// The kernel's scratch, and behind it the place of a strip on its way.
    fn scratch(
        &self,
        op: &OpRecord,
        x: &TensorRecord,
        y: &TensorRecord,
        rows: &Range<usize>,
    ) -> (Range<usize>, Range<usize>) {
        let start = self.model.header().scratch_offset as usize;
        let middle = start + kernel_scratch_len(self.model.packing(), op, x, y);
        let stage = if is_staged(op, y) { rows.len() * y.w as usize * op.out_channels as usize } else { 0 };
        (start..middle, middle..middle + stage)
    }

    /// Disjoint pieces of the arena.
    fn pieces<const N: usize>(&mut self, ranges: [Range<usize>; N]) -> Option<[&mut [u8]; N]> {
        self.arena.get_disjoint_mut(ranges).ok()
    }
}

/// A strip of an operator with a sliding window.
fn window<K: Kernels>(op: &OpRecord, g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) {
    match op.code {
        op::CONV => K::conv(g, l, x, y, scratch),
        op::GROUPED_CONV => K::grouped_conv(g, l, op.groups as usize, x, y),
        op::DEPTHWISE => K::depthwise(g, l, x, y, scratch),
        op::MAX_POOL => K::max_pool(g, x, y),
        _ => K::avg_pool(g, l, op.groups as usize, x, y),
    }
}

/// An operator that works on all of its input at once, from and to the values of two tensors.
fn whole<K: Kernels>(
    model: &Model,
    op: &OpRecord,
    [from, to]: [&TensorRecord; 2],
    layer: &Layer,
    x: &[i8],
    y: &mut [i8],
    scratch: &mut [u8],
) -> Option<()> {
    let output = [to.h as usize, to.w as usize, op.out_channels as usize];
    let at = op.pad.map(usize::from);
    match op.code {
        op::LINEAR => K::linear(layer, x, y, scratch),
        op::SOFTMAX => portable::softmax(model.exponentials(op)?, from.c as usize, to.zero, x, y),
        op::RESIZE => portable::resize(from.shape(), op.stride.map(usize::from), x, y),
        op::SLICE => portable::slice(from.shape(), output, [at[0], at[1], op.groups as usize], x, y),
        op::PAD => portable::pad(from.shape(), output, at, from.zero as i8, x, y),
        _ => return None,
    }
    Some(())
}

fn layer<'m>(model: &Model<'m>, op: &OpRecord, x: &TensorRecord, y: &TensorRecord) -> Option<Layer<'m>> {
    let fused = op.has(flag::FUSED_ADD);
    let [mid_zero, mid_lo, mid_hi, _] = op.mid.map(i32::from);
    Some(Layer {
        weights: model.weights(op)?,
        tile: model.packing().tile(op.code, op.encoding),
        packing: model.packing(),
        requant: model.requant(op),
        left_shift: op.left_shift as u32,
        zero_in: x.zero as i8,
        zero_out: if fused { mid_zero } else { y.zero },
        lo: if fused { mid_lo } else { op.lo as i32 },
        hi: if fused { mid_hi } else { op.hi as i32 },
    })
}

fn add_params(op: &OpRecord) -> AddParams {
    AddParams { mul: op.add_mul, bias: op.add_bias, shift: op.add_shift as u32, lo: op.lo as i32, hi: op.hi as i32 }
}
