//! The external memory: the batch that QEMU loaded, and room for the results.

use bytemuck::{from_bytes_mut, try_cast_slice, try_cast_slice_mut, try_from_bytes};

use crate::image::{BATCH_MAGIC, BatchHead, ResultsHead, ResultsLayout, Truth};

/// The batch image.
pub struct Batch<'a> {
    /// Its head.
    pub head: &'a BatchHead,
    /// The bytes of the `.keel` file.
    pub model: &'a [u8],
    /// All inputs.
    pub inputs: &'a [i8],
    /// What is known of each input.
    pub truth: &'a [Truth],
}

/// The results image in the making, zeroed.
pub struct Results<'a> {
    /// Its head.
    pub head: &'a mut ResultsHead,
    /// Ticks of each operator.
    pub ops: &'a mut [u64],
    /// The monitor's state.
    pub state: &'a mut [u32],
    /// Predicted classes.
    pub classes: &'a mut [u16],
    /// Outputs.
    pub outputs: &'a mut [i8],
}

/// Takes the memory apart: the batch, and the bytes for the results.
///
/// # Errors
/// What is wrong with the batch image.
pub fn split(memory: &mut [u8]) -> Result<(Batch<'_>, &mut [u8]), &'static str> {
    let head: BatchHead =
        *memory.get(..size_of::<BatchHead>()).and_then(|b| try_from_bytes(b).ok()).ok_or("no head")?;
    if head.magic != BATCH_MAGIC {
        return Err("not a batch image of this version: was one loaded?");
    }
    let (batch, results) = memory.split_at_mut_checked(head.results as usize).ok_or("results outside of memory")?;
    let results = results.get_mut(..head.results_len as usize).ok_or("results outside of memory")?;
    let part = |start: u32, len: Option<usize>| batch.get(start as usize..)?.get(..len?);
    let count = head.count as usize;
    let inputs = part(head.inputs, count.checked_mul(head.input_len as usize)).ok_or("inputs outside of memory")?;
    let truth = part(head.truth, count.checked_mul(size_of::<Truth>())).ok_or("labels outside of memory")?;
    let batch = Batch {
        model: part(head.model, Some(head.model_len as usize)).ok_or("model outside of memory")?,
        inputs: try_cast_slice(inputs).map_err(|_| "inputs are not aligned")?,
        truth: try_cast_slice(truth).map_err(|_| "labels are not aligned")?,
        head: try_from_bytes(&batch[..size_of::<BatchHead>()]).map_err(|_| "the head is not aligned")?,
    };
    Ok((batch, results))
}

/// Views of the results image, as a [`ResultsLayout`] has them.
///
/// # Errors
/// When the host reckoned with another layout.
pub fn results(
    bytes: &mut [u8],
    count: usize,
    ops: usize,
    words: usize,
    output_len: usize,
) -> Result<Results<'_>, &'static str> {
    let layout = ResultsLayout::new(count, ops, words, output_len);
    let layout = layout.filter(|l| l.len == bytes.len()).ok_or("the host reckons with other results")?;
    bytes.fill(0);
    let align = |_| "results are not aligned";
    let (rest, outputs) = bytes.split_at_mut(layout.outputs);
    let (rest, classes) = rest.split_at_mut(layout.classes);
    let (rest, state) = rest.split_at_mut(layout.state);
    let (head, op_ticks) = rest.split_at_mut(layout.ops);
    Ok(Results {
        head: from_bytes_mut(&mut head[..size_of::<ResultsHead>()]),
        ops: try_cast_slice_mut(&mut op_ticks[..8 * ops]).map_err(align)?,
        state: try_cast_slice_mut(&mut state[..4 * words]).map_err(align)?,
        classes: try_cast_slice_mut(&mut classes[..2 * count]).map_err(align)?,
        outputs: try_cast_slice_mut(outputs).map_err(align)?,
    })
}
