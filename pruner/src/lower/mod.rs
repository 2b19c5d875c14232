//! From a quantised network to the bytes of a `.keel` file.
