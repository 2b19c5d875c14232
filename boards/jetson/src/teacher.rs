//! A larger model that some frames go through as well. Where the two disagree, one of them is wrong: so the share of
//! disagreement bounds what compression can have cost a group, without any label.

use evenkeel_runtime::cast::MappedFile;
use evenkeel_runtime::preprocess::{normalise_input, quantise_input};
use evenkeel_runtime::{FloatSession, Model, Session};
use std::path::Path;

/// The file of a larger model.
pub struct Teacher {
    file: MappedFile,
}

impl Teacher {
    /// Maps it and checks that it takes the same inputs and gives as many outputs as `student`.
    ///
    /// # Errors
    /// When it cannot be read, or answers another question.
    pub fn open(path: &Path, student: &Model) -> Result<Self, String> {
        let file = MappedFile::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let model = Model::from_bytes(file.bytes()).map_err(|e| format!("{}: {e}", path.display()))?;
        let shape = |m: &Model| (m.input().elements(), m.output().elements());
        if shape(&model) != shape(student) {
            return Err(format!(
                "{}: inputs and outputs {:?}, those of the model are {:?}",
                path.display(),
                shape(&model),
                shape(student)
            ));
        }
        Ok(Teacher { file })
    }

    /// Its class for raw values. Rare, so nothing is kept between calls.
    ///
    /// # Errors
    /// When the values do not fit.
    pub fn class(&self, x: &[f32]) -> Result<usize, String> {
        let text = |e: evenkeel_runtime::Error| format!("larger model: {e}");
        let model = Model::from_bytes(self.file.bytes()).map_err(text)?;
        if model.dtype().is_float() {
            let mut arena = vec![0.0; FloatSession::fast_arena_len(&model)];
            let mut session = FloatSession::new(&model, &mut arena).map_err(text)?;
            normalise_input(&model, x, session.input_mut()).map_err(text)?;
            session.run();
            return Ok(session.classify());
        }
        let mut arena = vec![0u64; model.arena_len().div_ceil(8)];
        let mut session = Session::new(&model, bytemuck::cast_slice_mut(&mut arena)).map_err(text)?;
        quantise_input(&model, x, session.input_mut()).map_err(text)?;
        session.run();
        Ok(session.classify())
    }
}
