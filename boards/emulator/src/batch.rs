//! The batch image, built from a job.

use bytemuck::{bytes_of, cast_slice};
use evenkeel_runtime::Model;
use evenkeel_runtime::monitor::{Full, words};

use crate::image::{
    ALIGN, ARENA_LEN, BATCH_MAGIC, BatchHead, MEMORY_LEN, PORTABLE, ResultsLayout, SLOTS, STATES, Truth, UNKNOWN,
};
use crate::{Error, Job};

/// A batch image and what to expect of its results.
#[derive(Debug)]
pub struct Batch {
    /// The bytes to load at the start of external memory.
    pub bytes: Vec<u8>,
    /// Number of inputs.
    pub count: usize,
    /// Where the parts of the results will be.
    pub layout: ResultsLayout,
    /// Number of operators.
    pub ops: usize,
    /// Number of groups of the monitor.
    pub groups: usize,
    /// Words of the monitor's state; 0 without a monitor.
    pub words: usize,
    /// Bytes of one output.
    pub output_len: usize,
}

impl Batch {
    /// Checks a job against its model and lays out its image; the firmware of the monitor takes so many `events`.
    ///
    /// # Errors
    /// When the model is not one, an array has the wrong length, or the board's memory is too small.
    pub fn new(job: &Job, events: u32) -> Result<Self, Error> {
        // The bytes of a model must be aligned, those of a job need not be.
        let mut aligned = vec![0u64; job.model.len().div_ceil(8)];
        let bytes = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut aligned)[..job.model.len()];
        bytes.copy_from_slice(job.model);
        let model = Model::from_bytes(bytes)?;
        if model.arena_len() > ARENA_LEN {
            return Err(Error::Arena { needed: model.arena_len() });
        }

        let input_len = model.input().elements();
        if !job.inputs.len().is_multiple_of(input_len) {
            return Err(Error::Inputs { len: job.inputs.len(), input_len });
        }
        let count = job.inputs.len() / input_len;
        let truth = truth(job, count)?;

        let (ops, output_len) = (model.ops().len(), model.output().elements());
        let groups = model.monitor().map_or(0, |(_, floors)| floors.len());
        let words = if groups == 0 { 0 } else { words::<Full>(groups, SLOTS) };
        let mut image = Image { bytes: vec![0; size_of::<BatchHead>()] };
        let model = image.append(job.model);
        let inputs = image.append(cast_slice(job.inputs));
        let truth = image.append(cast_slice(&truth));
        let results = image.append(&[]);
        let layout = ResultsLayout::new(count, ops, words, output_len)
            .filter(|layout| layout.len <= MEMORY_LEN.saturating_sub(results))
            .ok_or(Error::Memory { count })?;
        // What fits the memory fits 32 bits.
        let head = BatchHead {
            magic: BATCH_MAGIC,
            flags: if job.portable { PORTABLE } else { 0 } | if job.states { STATES } else { 0 },
            model: model as u32,
            model_len: job.model.len() as u32,
            inputs: inputs as u32,
            input_len: input_len as u32,
            count: count as u32,
            truth: truth as u32,
            results: results as u32,
            results_len: layout.len as u32,
            events,
        };
        image.bytes[..size_of::<BatchHead>()].copy_from_slice(bytes_of(&head));
        Ok(Batch { bytes: image.bytes, count, layout, ops, groups, words, output_len })
    }
}

fn truth(job: &Job, count: usize) -> Result<Vec<Truth>, Error> {
    for (what, given) in [("labels", job.labels), ("groups", job.groups)] {
        if let Some(given) = given
            && given.len() != count
        {
            return Err(Error::Truth { what, given: given.len(), count });
        }
    }
    let at = |values: Option<&[u8]>, i: usize| values.map_or(UNKNOWN, |v| v[i]);
    Ok((0..count).map(|i| Truth { label: at(job.labels, i), group: at(job.groups, i) }).collect())
}

struct Image {
    bytes: Vec<u8>,
}

impl Image {
    /// Puts a part at the next aligned place and says where that is.
    fn append(&mut self, part: &[u8]) -> usize {
        let start = self.bytes.len().next_multiple_of(ALIGN);
        self.bytes.resize(start, 0);
        self.bytes.extend_from_slice(part);
        start
    }
}
