//! Running a float model: one arena of f32, one loop over the operators.

use core::ops::Range;

use bytemuck::cast_slice;

use crate::Error;
use crate::format::{Dtype, Model, OpRecord, TensorRecord, flag, op};
use crate::kernels::float::{self, Clip, Function, Layer, Weights};
use crate::strips::{geometry, is_staged, is_windowed, needed, part, rows_of, strips};

/// A float model and the memory to run it in.
///
/// Places in the arena, strips and fused sums are those of [`crate::Session`], counted in f32 elements.
#[derive(Debug)]
pub struct FloatSession<'m, 'a> {
    model: &'m Model<'m>,
    arena: &'a mut [f32],
}

impl<'m, 'a> FloatSession<'m, 'a> {
    /// A session in `arena`, which has at least [`Model::arena_len`] elements. What there is beyond is used by
    /// the fast kernels of hosts (feature `gemm`), see [`FloatSession::fast_arena_len`].
    ///
    /// # Errors
    /// When the arena is too short, and when the model computes in int8 (`Session` runs those).
    pub fn new(model: &'m Model<'m>, arena: &'a mut [f32]) -> Result<Self, Error> {
        if !model.dtype().is_float() {
            return Err(Error::Dtype { dtype: model.dtype().name(), session: "FloatSession" });
        }
        let (needed, given) = (model.arena_len(), arena.len());
        if given < needed {
            return Err(Error::ArenaTooSmall { needed, given });
        }
        Ok(FloatSession { model, arena })
    }

    /// Elements of an arena with which every convolution gathers as many windows at a time as the fast kernels like;
    /// [`Model::arena_len`] where there are none.
    pub fn fast_arena_len(model: &Model) -> usize {
        let scratch = |op: &OpRecord| {
            let [x, y] = [op.input, op.output].map(|t| &model.tensors()[t as usize]);
            // A strip on its way lies behind the kernel's scratch; it has all of the rows at most.
            let stage = if is_staged(op, y) { y.elements() } else { 0 };
            let windows = float::fast_scratch_len(model.dtype(), &geometry(op, x, y, &(0..y.h as usize)));
            windows.saturating_add(stage)
        };
        let most = model.ops().iter().filter(|op| op.code == op::CONV).map(scratch).max().unwrap_or(0);
        model.arena_len().max((model.header().scratch_offset as usize).saturating_add(most))
    }

    /// The model that it runs.
    pub fn model(&self) -> &'m Model<'m> {
        self.model
    }

    /// The input tensor, H × W × C. Its memory may be used again behind the operators that read it: fill it before every run.
    pub fn input_mut(&mut self) -> &mut [f32] {
        &mut self.arena[self.model.input().range()]
    }

    /// The output tensor, H × W × C, as the last run left it.
    pub fn output(&self) -> &[f32] {
        &self.arena[self.model.output().range()]
    }

    /// The index of the largest output of the last run; the first one wins a tie, NaN never.
    pub fn classify(&self) -> usize {
        let output = self.output();
        (1..output.len()).fold(0, |best, i| if output[best].is_nan() || output[i] > output[best] { i } else { best })
    }

    /// Runs all operators on what [`FloatSession::input_mut`] holds.
    pub fn run(&mut self) {
        self.run_observed(|_| {});
    }

    /// As [`FloatSession::run`], and calls `observe` with an operator's index when it is done.
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
            op::ADD | op::MUL => self.pair(op, x, tensor(op.input2)?, y),
            _ if is_windowed(op) => strips(op, y.h).try_for_each(|rows| self.strip(op, x, y, rows)),
            _ => self.whole(op, x, y),
        }
    }

    /// Some output rows of an operator with a sliding window.
    fn strip(&mut self, op: &OpRecord, x: &TensorRecord, y: &TensorRecord, rows: Range<usize>) -> Option<()> {
        let g = geometry(op, x, y, &rows);
        let clip = clip(op);
        let layer = layer(self.model, op, clip);
        let x = rows_of(x, &needed(op, x.h, &rows));
        let place = self.place(op, y, &rows);
        let [x, out, scratch] = self.pieces([x, place.out.clone(), place.scratch])?;
        match op.code {
            op::CONV => float::conv_all(&g, &layer, x, out, scratch),
            op::GROUPED_CONV => float::conv(&g, &layer, op.groups as usize, x, out, scratch),
            op::DEPTHWISE => float::depthwise(&g, &layer, x, out, scratch),
            op::MAX_POOL => float::max_pool(&g, clip, x, out),
            _ => float::avg_pool(&g, clip, op.has(flag::COUNT_PAD), x, out),
        }
        if place.staged { self.unstage(op, y, &rows, place.out) } else { Some(()) }
    }

    /// An operator that works on all of its input at once.
    fn whole(&mut self, op: &OpRecord, x: &TensorRecord, y: &TensorRecord) -> Option<()> {
        let rows = 0..y.h as usize;
        let (model, clip, place) = (self.model, clip(op), self.place(op, y, &rows));
        let output = [y.h as usize, y.w as usize, op.out_channels as usize];
        let at = op.pad.map(usize::from);
        if op.code == op::ACTIVATION {
            let function = Function::new(op.groups, model.floats(op))?;
            if x.range() != place.out {
                let [x, out] = self.pieces([x.range(), place.out.clone()])?;
                out.copy_from_slice(x);
            }
            function.apply(clip, self.arena.get_mut(place.out.clone())?);
        } else {
            let [values, out] = self.pieces([x.range(), place.out.clone()])?;
            match op.code {
                op::LINEAR => float::linear(&layer(model, op, clip), values, out),
                op::SOFTMAX => float::softmax(x.c as usize, clip, values, out),
                op::RESIZE => float::resize(x.shape(), op.stride.map(usize::from), clip, values, out),
                op::SLICE => {
                    float::slice(x.shape(), output, [at[0], at[1], op.groups as usize], clip, values, out);
                }
                op::PAD => float::pad(x.shape(), output, at, *model.floats(op).first()?, clip, values, out),
                _ => return None,
            }
        }
        if place.staged { self.unstage(op, y, &rows, place.out) } else { Some(()) }
    }

    /// A sum or a product.
    fn pair(&mut self, op: &OpRecord, a: &TensorRecord, b: &TensorRecord, y: &TensorRecord) -> Option<()> {
        let rows = 0..y.h as usize;
        let place = self.place(op, y, &rows);
        let ranges = [a.range(), b.range(), place.out.clone()];
        match op.code {
            op::ADD => self.combine(ranges, clip(op), |a, b| a + b)?,
            _ => self.combine(ranges, clip(op), |a, b| a * b)?,
        }
        if place.staged { self.unstage(op, y, &rows, place.out) } else { Some(()) }
    }

    /// `y = clip(f(a, b))`, where `y` may be the place of `a` or of `b`, and `b` may be one value per channel.
    fn combine(&mut self, [a, b, y]: [Range<usize>; 3], clip: Clip, f: impl Fn(f32, f32) -> f32) -> Option<()> {
        if y == a || y == b {
            let is_first = y == a;
            let [other, y] = self.pieces([if is_first { b } else { a }, y])?;
            for y in y.chunks_mut(other.len()) {
                for (y, &other) in y.iter_mut().zip(&*other) {
                    *y = clip.apply(if is_first { f(*y, other) } else { f(other, *y) });
                }
            }
        } else if a == b {
            let [a, y] = self.pieces([a, y])?;
            y.iter_mut().zip(a).for_each(|(y, a)| *y = clip.apply(f(*a, *a)));
        } else {
            let [a, b, y] = self.pieces([a, b, y])?;
            for (y, a) in y.chunks_mut(b.len()).zip(a.chunks(b.len())) {
                y.iter_mut().zip(a).zip(&*b).for_each(|((y, &a), &b)| *y = clip.apply(f(a, b)));
            }
        }
        Some(())
    }

    /// Brings a result from the scratch to its place.
    fn unstage(&mut self, op: &OpRecord, y: &TensorRecord, rows: &Range<usize>, stage: Range<usize>) -> Option<()> {
        if op.has(flag::FUSED_ADD) {
            let b = self.model.tensors().get(op.input2 as usize)?;
            let (b, y) = (rows_of(b, rows), rows_of(y, rows));
            return self.combine([stage, b, y], bounds(op), |a, b| a + b);
        }
        let [first, count, channels] = [op.out_channel, op.out_channels, y.c].map(|n| n as usize);
        let [stage, y] = self.pieces([stage, rows_of(y, rows)])?;
        for (y, part) in y.chunks_exact_mut(channels).zip(stage.chunks_exact(count)) {
            y.get_mut(first..first + count)?.copy_from_slice(part);
        }
        Some(())
    }

    /// Where an operator writes some rows, and the scratch of its kernel: all that the arena has beside them.
    fn place(&self, op: &OpRecord, y: &TensorRecord, rows: &Range<usize>) -> Place {
        let (start, end) = (self.model.header().scratch_offset as usize, self.arena.len());
        if !is_staged(op, y) {
            return Place { out: part(op, y, rows), scratch: start..end, staged: false };
        }
        let middle = end - rows.len() * y.w as usize * op.out_channels as usize;
        Place { out: middle..end, scratch: start..middle, staged: true }
    }

    /// Disjoint pieces of the arena.
    fn pieces<const N: usize>(&mut self, ranges: [Range<usize>; N]) -> Option<[&mut [f32]; N]> {
        self.arena.get_disjoint_mut(ranges).ok()
    }
}

/// Where an operator writes.
struct Place {
    /// Its result, or the strip on its way.
    out: Range<usize>,
    /// The kernel's scratch.
    scratch: Range<usize>,
    /// Whether the result still has to go to its place.
    staged: bool,
}

/// The bounds in the record.
fn bounds(op: &OpRecord) -> Clip {
    let [lo, hi] = op.bounds();
    Clip { lo, hi }
}

/// The bounds of what a kernel computes: those of a fused sum are not yet its.
fn clip(op: &OpRecord) -> Clip {
    if op.has(flag::FUSED_ADD) { Clip::NONE } else { bounds(op) }
}

fn layer<'m>(model: &Model<'m>, op: &OpRecord, clip: Clip) -> Layer<'m> {
    let bytes = model.weight_bytes(op);
    // Verified to begin at multiples of 4.
    let weights = match model.dtype() {
        Dtype::F16 => Weights::F16(cast_slice(bytes)),
        _ => Weights::F32(cast_slice(bytes)),
    };
    Layer { weights, bias: model.floats(op), clip }
}
