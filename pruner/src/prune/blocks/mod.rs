//! Blocks: whole tiles of weights that become zero, in the sizes that a target's kernels leave out.
//!
//! A tile ([`Packing::tile`](evenkeel_runtime::format::Packing::tile)) is some outputs × some taps of a layer's matrix.
//! Nothing but the zeros says that a tile is gone: fine-tuning holds them ([`crate::net::optimise`]), symmetric
//! quantisation keeps them, and lowering stores only what is not zero ([`crate::lower`]).
//!
//! find the matrices ([`matrices`]) → score their tiles per group ([`score`]) → choose ([`choose`]) → zero.

pub mod choose;
pub mod matrices;
pub mod quantised;
pub mod score;

#[cfg(test)]
mod tests;

use super::recipe::Recipe;
use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// Every layer keeps at least this share of its tiles.
pub const LEAST: f64 = 0.125;

/// Which tiles may become zero together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pattern {
    /// This share of all tiles, more of them in layers that miss them less.
    Share(f64),
    /// This share in each row of tiles of every layer, so that all outputs take equally long.
    Even(f64),
    /// All but `keep` of each `of` neighbouring tiles in a row of tiles: N:M, shared by the outputs of a tile.
    OfEach {
        /// Tiles that stay.
        keep: usize,
        /// Neighbours that they are chosen from.
        of: usize,
    },
}

impl Pattern {
    /// The share of tiles that become zero.
    pub fn share(self) -> f64 {
        match self {
            Pattern::Share(share) | Pattern::Even(share) => share,
            Pattern::OfEach { keep, of } => 1.0 - keep as f64 / of as f64,
        }
    }

    /// What a method makes of it: norms of different layers do not compare, so without scores by gradients every row loses
    /// the same share.
    pub fn under(self, method: &Recipe) -> Self {
        if method.needs_labels() { self } else { self.even() }
    }

    /// The same share in each row of tiles.
    pub fn even(self) -> Self {
        if let Pattern::Share(share) = self { Pattern::Even(share) } else { self }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Share(share) => write!(f, "{}% of the blocks", share * 100.0),
            Pattern::Even(share) => write!(f, "{}% of the blocks of each row", share * 100.0),
            Pattern::OfEach { keep, of } => write!(f, "{} of each {of} blocks", of - keep),
        }
    }
}

impl FromStr for Pattern {
    type Err = Error;

    /// `50%`, the share that becomes zero, or `2:4`, blocks that stay of each so many.
    fn from_str(s: &str) -> Result<Self> {
        let wrong = || {
            Error::new(format!("`{s}` is no pattern of blocks"))
                .help("give the share that becomes zero (50%, at most 87.5%), or how many stay of each so many (2:4)")
        };
        let pattern = match (s.strip_suffix('%'), s.split_once(':')) {
            (Some(percent), _) => Pattern::Share(percent.trim().parse::<f64>().map_err(|_| wrong())? / 100.0),
            (_, Some((keep, of))) => {
                let number = |s: &str| s.trim().parse::<usize>().map_err(|_| wrong());
                Pattern::OfEach { keep: number(keep)?, of: number(of)? }
            }
            _ => return Err(wrong()),
        };
        let share = pattern.share();
        if share > 0.0 && share <= 1.0 - LEAST { Ok(pattern) } else { Err(wrong()) }
    }
}
