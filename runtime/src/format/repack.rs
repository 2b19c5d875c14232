//! A model's weights laid out anew for another target class, on hosts (feature `write`).

use alloc::string::String;
use alloc::vec::Vec;
use bytemuck::cast_slice;

use super::pack::{Form, Packed, density, fold_offset, pack, unfold_offset};
use super::{FileSpec, Model, Names, OpRecord, Packing, Requant, TENSOR_ALIGN, encoding, op};
use crate::Error;
use crate::kernels::Reader;
use crate::strips::scratch_len;

/// The same network packed for `packing`: every kernel set computes the same bytes from it.
///
/// `bytes` is a file of any packing. `choose(operator, density)` says how the weights of a convolution or a linear
/// operator are stored; `density` is the share of the new packing's tiles that are not all zero. Weights get a data
/// section of their own order (aligned as the packing wants, see [`Packing::weights_align`]), biases what the packing
/// folds into them, and the arena the scratch that the packing's kernels use; the place of every tensor stays. A
/// signature is left out, as it would be one of other bytes.
///
/// # Errors
/// Those of [`Model::from_bytes`] and [`repack_model`].
pub fn repack(bytes: &[u8], packing: Packing, choose: impl Fn(&OpRecord, f64) -> Form) -> Result<Vec<u8>, Error> {
    repack_model(&Model::from_bytes(bytes)?, packing, choose)
}

/// [`repack`] of a model that is open already.
///
/// # Errors
/// [`Error::Dtype`] for float models, and [`Error::Op`] for weights that do not have the form that was chosen.
pub fn repack_model(
    model: &Model,
    packing: Packing,
    choose: impl Fn(&OpRecord, f64) -> Form,
) -> Result<Vec<u8>, Error> {
    if model.dtype.is_float() {
        return Err(Error::Dtype { dtype: model.dtype.name(), session: "packing for a target" });
    }
    let (mut data, mut ops) = (Data { bytes: Vec::new() }, Vec::new());
    let mut scratch = 0;
    for (i, op) in model.ops.iter().enumerate() {
        let wrong = |fault| Error::Op { op: i, fault };
        let mut new = *op;
        let mut requant = model.requant(op).to_vec();
        if matches!(op.code, op::CONV | op::LINEAR) {
            let (weights, taps) = matrix(model, op).ok_or(wrong("its weights cannot be read"))?;
            unfold_offset(model.packing, &weights, taps, &mut requant);
            fold_offset(packing, &weights, taps, &mut requant);
            let form = choose(op, density(&weights, taps, packing.tile(op.code, encoding::BLOCKS8)));
            let packed = pack(&weights, taps, packing, op.code, form)
                .ok_or(wrong("its weights do not have the form that was chosen for them"))?;
            let Packed { encoding, weights, index } = packed;
            new.encoding = encoding;
            (new.weights, new.weights_len) = data.add(cast_slice(&weights), packing.weights_align());
            (new.index, new.index_len) = data.add(&index, TENSOR_ALIGN);
        } else {
            (new.weights, new.weights_len) = data.add(model.weight_bytes(op), packing.weights_align());
            // Nothing reads it, and its place may be none in the new section.
            (new.index, new.index_len) = (0, 0);
        }
        new.requant = data.add(cast_slice::<Requant, u8>(&requant), TENSOR_ALIGN).0;
        let [x, y] = [op.input, op.output].map(|t| &model.tensors[t as usize]);
        scratch = scratch.max(scratch_len(packing, &new, x, y));
        ops.push(new);
    }
    let arena_len = (model.header.scratch_offset as usize).saturating_add(scratch).next_multiple_of(TENSOR_ALIGN);
    let file = FileSpec {
        arena_len: u32::try_from(arena_len).map_err(|_| Error::Header("an arena of more than 1 GiB"))?,
        packing: packing as u16,
        ops,
        data: data.bytes,
        ..FileSpec::from(model)
    };
    Ok(file.to_bytes())
}

impl From<&Model<'_>> for FileSpec {
    /// Everything but the signature.
    fn from(model: &Model) -> Self {
        FileSpec {
            arena_len: model.header.arena_len,
            scratch_offset: model.header.scratch_offset,
            packing: model.header.packing,
            input_rounding: model.header.input_rounding,
            dtype: model.header.dtype,
            input: model.header.input,
            output: model.header.output,
            tensors: model.tensors.to_vec(),
            ops: model.ops.to_vec(),
            data: model.data.to_vec(),
            names: Names { bytes: model.names.as_bytes().to_vec() },
            contract: String::from(model.contract),
            certificate: model.certificate.map(|(head, groups)| (*head, groups.to_vec())),
            monitor: model.monitor.map(|(head, floors)| (*head, floors.to_vec())),
            field: model.field().map(|f| (*f.head, f.groups.to_vec(), f.confusion.to_vec())),
            input_channels: model.input_channels.to_vec(),
        }
    }
}

/// The data section in the making.
struct Data {
    bytes: Vec<u8>,
}

impl Data {
    /// Appends a piece at a multiple of `align`; its offset and length.
    fn add(&mut self, piece: &[u8], align: usize) -> (u32, u32) {
        if piece.is_empty() {
            return (0, 0);
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(align), 0);
        let offset = self.bytes.len();
        self.bytes.extend_from_slice(piece);
        (offset as u32, piece.len() as u32)
    }
}

/// The weights of a convolution or a linear operator, outputs × taps, and the number of taps. `None` where two weights
/// of two of four are at one place and their sum is none of 8 bits.
fn matrix(model: &Model, op: &OpRecord) -> Option<(Vec<i8>, usize)> {
    let x = &model.tensors[op.input as usize];
    let window = op.kernel[0] as usize * op.kernel[1] as usize;
    let taps = if op.code == op::LINEAR { x.elements() } else { window * x.c as usize };
    let mut reader = Reader::new(model.weights(op)?, model.packing.tile(op.code, op.encoding), taps);
    let mut weights = alloc::vec![0i8; op.out_channels as usize * taps];
    for (o, row) in weights.chunks_mut(taps).enumerate() {
        let mut whole = true;
        // Two of four may have both weights at one place: they are added there.
        reader.output(o, &mut |tap, w| match row[tap].checked_add(w) {
            Some(sum) => row[tap] = sum,
            None => whole = false,
        });
        if !whole {
            return None;
        }
    }
    Some((weights, taps))
}
