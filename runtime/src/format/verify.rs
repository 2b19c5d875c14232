//! The one pass over a file that decides whether it is a model.

use super::Model;
use crate::Error;

/// See [`Model::from_bytes`].
pub(super) fn model(_bytes: &[u8]) -> Result<Model<'_>, Error> {
    Err(Error::Alignment)
}
