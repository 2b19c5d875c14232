//! A Pareto front of small networks over cost, metric and excess drop.

pub mod nsga;
