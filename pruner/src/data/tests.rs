//! Whole files: the shared data sets, and hostile ones.
use super::*;
