//! Many runs of one cell on two threads. A run's draws depend on its number alone, so the figures do not depend on how
//! the runs are spread.

use evenkeel_runtime::Error;

/// The results of runs `0..runs`, in no particular order.
pub fn each<T: Send>(runs: u64, one: impl Fn(u64) -> Result<T, Error> + Sync) -> Result<Vec<T>, Error> {
    let half = |parity: u64| (parity..runs).step_by(2).map(&one).collect::<Result<Vec<T>, Error>>();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        let mut all = half(0)?;
        all.extend(other.join().map_err(|_| Error::Monitor("a thread of the simulation ended early"))??);
        Ok(all)
    })
}
