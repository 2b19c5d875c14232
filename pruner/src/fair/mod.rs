//! Metrics, statistics, the verdict, the risk pre-check.
