//! What a model computes in: int8, or f32 with weights in f32 or f16.

/// The number format of activations and weights, a code in [`super::Header::dtype`].
///
/// In float models all offsets and lengths in the arena count f32 elements where those of int8 models count bytes, so
/// that memory plans, strips and their verification are the same for both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Dtype {
    /// int8 activations and weights.
    #[default]
    Int8 = 0,
    /// f32 activations and weights.
    F32 = 1,
    /// f32 activations; weights in IEEE 754 binary16, half of the file.
    F16 = 2,
}

impl Dtype {
    /// All of them.
    pub const ALL: [Dtype; 3] = [Dtype::Int8, Dtype::F32, Dtype::F16];

    /// By the code in a header.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.get(code as usize).copied()
    }

    /// The name that commands and errors use.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::Int8 => "int8",
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
        }
    }

    /// Whether activations are f32.
    pub fn is_float(self) -> bool {
        self != Dtype::Int8
    }

    /// Bytes of a weight.
    pub fn weight_bytes(self) -> usize {
        match self {
            Dtype::Int8 => 1,
            Dtype::F32 => 4,
            Dtype::F16 => 2,
        }
    }

    /// Bytes of an element of the arena.
    pub fn arena_bytes(self) -> usize {
        if self.is_float() { 4 } else { 1 }
    }
}
