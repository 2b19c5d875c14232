//! The synthetic sensor data set.
