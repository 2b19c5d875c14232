//! Helpers shared by the whole-chain tests.
