//! Scoring, budget, and the pruning schedule.
