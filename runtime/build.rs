//! `target_feature = "dsp"` is not a stable cfg, so the kernel set follows from the target's name.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = std::env::var("TARGET").unwrap_or_default();
    if target.starts_with("thumbv7em") {
        println!("cargo:rustc-cfg=keel_dsp");
    }
}
