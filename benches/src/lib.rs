//! Criterion benches live in `benches/`; shared set-up will live here.
