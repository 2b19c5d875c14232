//! Batches and samplers.
