//! Running a model: one arena, one loop over the operators.

use core::marker::PhantomData;
use core::ops::Range;

use bytemuck::{cast_slice, cast_slice_mut};

use crate::Error;
use crate::format::{Model, OpRecord, TensorRecord, flag, op};
use crate::kernels::{AddParams, Kernels, Layer, MulParams, Native, portable};
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
        cast_slice_mut(&mut self.arena[self.model.input().range()])
    }

    /// The output tensor, H × W × C, as the last run left it.
    pub fn output(&self) -> &[i8] {
        cast_slice(&self.arena[self.model.output().range()])
    }

    /// The index of the largest output of the last run; the first one wins a tie.
    pub fn classify(&self) -> usize {
        let output = self.output();
        (1..output.len()).fold(0, |best, i| if output[i] > output[best] { i } else { best })
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

    /// One operator. `None` never happens: verification has proved that what is read, what is written and the
    /// scratch are disjoint pieces of the arena.
    fn step(&mut self, op: &OpRecord) -> Option<()> {
        let tensor = |i: u16| self.model.tensors().get(i as usize);
        let (x, y) = (tensor(op.input)?, tensor(op.output)?);
        match op.code {
            op::ADD => self.add(op, x, tensor(op.input2)?, y),
            op::MUL => self.mul(op, x, tensor(op.input2)?, y),
            op::LUT => self.lut(op, x, y),
            _ if is_windowed(op) => self.strips(op, x, y),
            _ => self.whole(op, x, y),
        }
    }

    /// An operator with a sliding window, strip by strip.
    fn strips(&mut self, op: &OpRecord, x: &TensorRecord, y: &TensorRecord) -> Option<()> {
        let layer = layer(self.model, op, x, y)?;
        for rows in strips(op, y.h) {
            let g = geometry(op, x, y, &rows);
            let x = rows_of(x, &needed(op, x.h, &rows));
            let stage = self.scratch(op, &rows)?;
            let out = if is_staged(op, y) { stage.1.clone() } else { part(op, y, &rows) };
            let [x, out, scratch] = self.pieces([x, out, stage.0])?;
            let (x, out) = (cast_slice(x), cast_slice_mut(out));
            match op.code {
                op::CONV => K::conv(&g, &layer, x, out, scratch),
                op::GROUPED_CONV => K::grouped_conv(&g, &layer, op.groups as usize, x, out),
                op::DEPTHWISE => K::depthwise(&g, &layer, x, out, scratch),
                op::MAX_POOL => K::max_pool(&g, x, out),
                _ => K::avg_pool(&g, &layer, op.groups as usize, x, out),
            }
            if is_staged(op, y) {
                self.unstage(op, y, &rows, stage.1)?;
            }
        }
        Some(())
    }

    /// An operator that works on all of its input at once.
    fn whole(&mut self, op: &OpRecord, x: &TensorRecord, y: &TensorRecord) -> Option<()> {
        let rows = 0..y.h as usize;
        let stage = self.scratch(op, &rows)?;
        let out = if is_staged(op, y) { stage.1.clone() } else { part(op, y, &rows) };
        let model = self.model;
        let [piece, out, scratch] = self.pieces([x.range(), out, stage.0])?;
        let (values, out) = (cast_slice(piece), cast_slice_mut(out));
        let output = [y.h as usize, y.w as usize, op.out_channels as usize];
        let at = op.pad.map(usize::from);
        match op.code {
            op::LINEAR => K::linear(&layer(model, op, x, y)?, values, out, scratch),
            op::SOFTMAX => portable::softmax(model.exponentials(op)?, x.c as usize, y.zero, values, out),
            op::RESIZE => portable::resize(x.shape(), op.stride.map(usize::from), values, out),
            op::SLICE => portable::slice(x.shape(), output, [at[0], at[1], op.groups as usize], values, out),
            op::PAD => portable::pad(x.shape(), output, at, x.zero as i8, values, out),
            _ => return None,
        }
        if is_staged(op, y) { self.unstage(op, y, &rows, stage.1) } else { Some(()) }
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
        for (y, part) in y.chunks_exact_mut(channels).zip(stage.chunks_exact(count)) {
            y.get_mut(first..first + count)?.copy_from_slice(part);
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

    fn add(&mut self, op: &OpRecord, a: &TensorRecord, b: &TensorRecord, y: &TensorRecord) -> Option<()> {
        let p = add_params(op);
        if !is_staged(op, y) {
            return self.sum(&p, a.range(), b.range(), part(op, y, &(0..y.h as usize)));
        }
        let rows = 0..y.h as usize;
        let stage = self.scratch(op, &rows)?.1;
        self.sum(&p, a.range(), b.range(), stage.clone())?;
        self.unstage(op, y, &rows, stage)
    }

    fn mul(&mut self, op: &OpRecord, a: &TensorRecord, b: &TensorRecord, y: &TensorRecord) -> Option<()> {
        let r = self.model.requant(op).first()?;
        let p = MulParams {
            zero: [a.zero, b.zero],
            mul: r.mul,
            left_shift: op.left_shift as u32,
            zero_out: y.zero,
            lo: op.lo as i32,
            hi: op.hi as i32,
        };
        let rows = 0..y.h as usize;
        let stage = self.scratch(op, &rows)?.1;
        let out = if is_staged(op, y) { stage.clone() } else { part(op, y, &rows) };
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
        if is_staged(op, y) { self.unstage(op, y, &rows, stage) } else { Some(()) }
    }

    fn lut(&mut self, op: &OpRecord, x: &TensorRecord, y: &TensorRecord) -> Option<()> {
        let table = self.model.table(op)?;
        let rows = 0..y.h as usize;
        let stage = self.scratch(op, &rows)?.1;
        let out = if is_staged(op, y) { stage.clone() } else { part(op, y, &rows) };
        if x.range() == out {
            let values: &mut [i8] = cast_slice_mut(self.arena.get_mut(out)?);
            portable::lut_onto(table, values);
        } else {
            let [x, out] = self.pieces([x.range(), out])?;
            K::lut(table, cast_slice(x), cast_slice_mut(out));
        }
        if is_staged(op, y) { self.unstage(op, y, &rows, stage) } else { Some(()) }
    }

    /// The kernel's scratch, and behind it the place of a strip on its way.
    fn scratch(&self, op: &OpRecord, rows: &Range<usize>) -> Option<(Range<usize>, Range<usize>)> {
        let tensor = |i: u16| self.model.tensors().get(i as usize);
        let (x, y) = (tensor(op.input)?, tensor(op.output)?);
        let start = self.model.header().scratch_offset as usize;
        let middle = start + kernel_scratch_len(self.model.packing(), op, x, y);
        let stage = if is_staged(op, y) { rows.len() * y.w as usize * op.out_channels as usize } else { 0 };
        Some((start..middle, middle..middle + stage))
    }

    /// Disjoint pieces of the arena.
    fn pieces<const N: usize>(&mut self, ranges: [Range<usize>; N]) -> Option<[&mut [u8]; N]> {
        self.arena.get_disjoint_mut(ranges).ok()
    }
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
