//! The terms of the methods: each is one thing that the fine-tuning does beside cross-entropy.
//!
//! | module | term |
//! | --- | --- |
//! | [`ceag`] | a multiplier per group on its excess drop |
//! | [`equal_loss`] | a multiplier per group on its loss |
//! | [`surrogate`] | BiFP's convex surrogate of accuracy parity |
//! | [`distil`] | knowledge distillation |
//! | [`hints`] | likeness of activations: attention, similarity, probabilities |
//! | [`pw_loss`] | weights and targets from the dense model's confidence |

pub mod ceag;
pub mod distil;
pub mod equal_loss;
pub mod hints;
pub mod pw_loss;
pub mod surrogate;
