//! Dependency groups: which channels of which tensors stand and fall together.
