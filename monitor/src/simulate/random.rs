//! Seeded random numbers: SplitMix64 (Steele, Lea and Flood 2014), enough for coins and draws.

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of run number `run` of the cell that `cell` names.
    pub fn of(cell: &str, run: u64) -> Self {
        // FNV-1a of the name, so that cells do not share their draws.
        let name = cell.bytes().fold(0xCBF2_9CE4_8422_2325, |h: u64, b| (h ^ b as u64).wrapping_mul(0x100_0000_01B3));
        let mut seed = Random(name ^ run);
        Random(seed.word())
    }

    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Evenly from [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Evenly from `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.uniform() * n as f64) as usize
    }

    /// 1, 2, ... with the given mean, geometric, by inversion.
    pub fn length(&mut self, mean: f64) -> u32 {
        1 + ((1.0 - self.uniform()).ln() / (1.0 - 1.0 / mean).ln()) as u32
    }
}
