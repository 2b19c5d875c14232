//! Which kernel set a build gets. `target_feature = "dsp"` and `"mve"` are no stable cfgs, so the first follows from
//! the target's name, and on Armv8-M, where both are options, from the processor that the compiler's flags name.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    let target = std::env::var("TARGET").unwrap_or_default();
    if target.starts_with("thumbv7em") {
        println!("cargo:rustc-cfg=keel_dsp");
    }
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let has_helium = ["=cortex-m52", "=cortex-m55", "=cortex-m85", "+mve"].iter().any(|flag| flags.contains(flag));
    let has_dsp = ["=cortex-m33", "=cortex-m35p", "+dsp"].iter().any(|flag| flags.contains(flag));
    if target.starts_with("thumbv8m.main") && has_helium {
        println!("cargo:rustc-cfg=keel_mve");
    } else if target.starts_with("thumbv8m.main") && has_dsp {
        println!("cargo:rustc-cfg=keel_dsp");
        println!("cargo:rustc-cfg=keel_armv8m");
    }
}
