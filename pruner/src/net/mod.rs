//! The graph as a trainable burn module.
