//! HTML and JSON reports, plots.
