//! Memory that begins at a cache line: of models, as mapped files do, and of arenas. The runtime takes multiples of 4;
//! vectors that cross lines cost a tenth of the speed and more.

use bytemuck::{Pod, Zeroable};

/// A cache line. A `Vec` of them can be cast to bytes.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Line([u8; 64]);

/// Lines of zeros for at least `len` bytes.
pub fn lines(len: usize) -> Vec<Line> {
    vec![Line([0; 64]); len.div_ceil(64)]
}

/// Bytes that begin at a cache line.
#[derive(Clone, Debug)]
pub struct AlignedBytes {
    lines: Vec<Line>,
    len: usize,
}

impl AlignedBytes {
    /// A copy of `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        let mut lines = lines(bytes.len());
        bytemuck::cast_slice_mut::<Line, u8>(&mut lines)[..bytes.len()].copy_from_slice(bytes);
        AlignedBytes { lines, len: bytes.len() }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}
