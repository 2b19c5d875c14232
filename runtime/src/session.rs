//! Running a model: one arena, one loop over the operators.

use core::marker::PhantomData;
use core::ops::Range;

use bytemuck::{cast_slice, cast_slice_mut};

use crate::Error;
use crate::format::{Model, OpRecord, TensorRecord, op};
use crate::kernels::{AddParams, Geometry, Kernels, Layer, Native, scratch_len};

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
    /// When `arena` is shorter than [`Model::arena_len`] or does not start at a multiple of 4.
    pub fn with_kernels(model: &'m Model<'m>, arena: &'a mut [u8]) -> Result<Self, Error> {
        let given = arena.len();
        let Some(arena) = arena.get_mut(..model.arena_len()) else {
            return Err(Error::ArenaTooSmall { needed: model.arena_len(), given });
        };
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

    /// One operator. `None` never happens: verification has proved that inputs, output and scratch are
    /// disjoint pieces of the arena.
    fn step(&mut self, op: &OpRecord) -> Option<()> {
        let model = self.model;
        let tensor = |i: u16| model.tensors().get(i as usize);
        let (x, y) = (tensor(op.input)?, tensor(op.output)?);
        let layer = Layer {
            weights: model.weights(op),
            requant: model.requant(op),
            left_shift: op.left_shift as u32,
            zero_in: x.zero as i8,
            zero_out: y.zero,
            lo: op.lo as i32,
            hi: op.hi as i32,
        };
        let g = geometry(op, x, y);

        if op.code == op::ADD {
            let b = tensor(op.input2)?;
            let p = AddParams {
                mul: op.add_mul,
                bias: op.add_bias,
                shift: op.add_shift as u32,
                lo: op.lo as i32,
                hi: op.hi as i32,
            };
            if op.input == op.input2 {
                let [x, y] = self.pieces([x.range(), y.range()])?;
                K::add(&p, cast_slice(x), cast_slice(x), cast_slice_mut(y));
            } else {
                let [a, b, y] = self.pieces([x.range(), b.range(), y.range()])?;
                K::add(&p, cast_slice(a), cast_slice(b), cast_slice_mut(y));
            }
            return Some(());
        }

        let scratch = model.header().scratch_offset as usize;
        let scratch = scratch..scratch.checked_add(scratch_len(op, x.c as usize))?;
        let [x, y, scratch] = self.pieces([x.range(), y.range(), scratch])?;
        let (x, y) = (cast_slice(x), cast_slice_mut(y));
        match op.code {
            op::CONV => K::conv(&g, &layer, x, y, scratch),
            op::GROUPED_CONV => K::grouped_conv(&g, &layer, op.groups as usize, x, y),
            op::DEPTHWISE => K::depthwise(&g, &layer, x, y),
            op::LINEAR => K::linear(&layer, x, y),
            op::MAX_POOL => K::max_pool(&g, x, y),
            op::AVG_POOL => K::avg_pool(&g, &layer, op.groups as usize, x, y),
            _ => return None,
        }
        Some(())
    }

    /// Disjoint pieces of the arena.
    fn pieces<const N: usize>(&mut self, ranges: [Range<usize>; N]) -> Option<[&mut [u8]; N]> {
        self.arena.get_disjoint_mut(ranges).ok()
    }
}

fn geometry(op: &OpRecord, x: &TensorRecord, y: &TensorRecord) -> Geometry {
    Geometry {
        input: x.shape(),
        output: y.shape(),
        kernel: op.kernel.map(usize::from),
        stride: op.stride.map(usize::from),
        dilation: op.dilation.map(usize::from),
        pad: op.pad.map(usize::from),
    }
}
