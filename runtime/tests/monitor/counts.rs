//! Evidence from counts alone is never larger than the exact one.

use evenkeel_runtime::format::GRID;
use evenkeel_runtime::monitor::counts::log2_evidence;
use evenkeel_runtime::monitor::{ONE_Q26, plan};

use crate::{Random, STEPS, floor_of};

#[test]
fn evidence_from_counts_stays_below_and_close_to_real_numbers() {
    let mut random = Random(41);
    for _ in 0..STEPS / 100 {
        let record = floor_of(0.05 + 0.93 * random.uniform());
        let logarithms = plan::logarithms(&record);
        let p0 = record.floor as f64 / ONE_Q26 as f64;
        // From a few events to as many as fit.
        let n = (random.bits() >> 32 >> random.below(32)) as u32;
        let correct = (n as f64 * (p0 - 0.2 + 0.3 * random.uniform()).clamp(0.0, 1.0)) as u32;
        let (right, wrong) = (correct as f64, (n - correct) as f64);
        let of = |drop: f64| {
            let p = (p0 - drop).max(plan::LOWEST.min(p0 / 2.0));
            right * (p / p0).log2() + wrong * ((1.0 - p) / (1.0 - p0)).log2()
        };
        let exact = plan::DROPS.map(of).into_iter().fold(f64::MIN, f64::max) - (GRID as f64).log2();
        let integer = log2_evidence(n, correct, &logarithms) as f64 / (1 << 24) as f64;
        // The slack is for the real numbers, whose terms are large and cancel.
        let slack = 1e-12 * (n as f64 + 1.0) * 8.0;
        assert!(integer <= exact + slack, "{correct} of {n} at {p0}: {integer} > {exact}");
        assert!(integer >= exact - 4.0 * (n as f64 + 1.0) / (1 << 24) as f64, "{correct} of {n} at {p0}");
    }
    let logarithms = plan::logarithms(&floor_of(0.9));
    assert!(log2_evidence(5, 9, &logarithms) < 0, "more right than there are is no evidence");
    assert!(log2_evidence(u32::MAX, 0, &logarithms) > 0);
}
