//! Pieces of assembler that kernels share.

/// Functions that are all assembler do not see the compiler's flags: on Armv8-M they have to ask for the DSP
/// instructions.
#[cfg(keel_armv8m)]
macro_rules! with_dsp {
    () => {
        ".cpu cortex-m33"
    };
}

/// Armv7E-M has the DSP instructions always.
#[cfg(not(keel_armv8m))]
macro_rules! with_dsp {
    () => {
        ""
    };
}

/// From an accumulator to a value clamped to int8; the operands are registers.
macro_rules! requantise {
    ($acc:literal, $mul:literal, $zero:literal, $shift:literal) => {
        concat!(
            concat!("lsl ", $acc, ", ", $acc, ", ", $shift, "\n"),
            concat!("smmlar ", $acc, ", ", $acc, ", ", $mul, ", ", $zero, "\n"),
            concat!("ssat ", $acc, ", #8, ", $acc, "\n"),
        )
    };
}

/// Two outputs (the words of weights in `$w0` and `$w1`) times two pixels: the taps of a group in `r8`-`r11`.
/// Accumulators are `r4` and `r6` for output 0 of pixels 0 and 1, `r5` and `r7` for output 1; `$t` is lost.
macro_rules! two_by_two {
    ($w0:literal, $w1:literal, $t:literal) => {
        concat!(
            concat!("sxtb16 ", $t, ", ", $w0, ", ror #8\n"),
            concat!("sxtb16 ", $w0, ", ", $w0, "\n"),
            concat!("smlad r4, ", $w0, ", r8, r4\n"),
            concat!("smlad r6, ", $w0, ", r10, r6\n"),
            concat!("smlad r4, ", $t, ", r9, r4\n"),
            concat!("smlad r6, ", $t, ", r11, r6\n"),
            concat!("sxtb16 ", $t, ", ", $w1, ", ror #8\n"),
            concat!("sxtb16 ", $w1, ", ", $w1, "\n"),
            concat!("smlad r5, ", $w1, ", r8, r5\n"),
            concat!("smlad r7, ", $w1, ", r10, r7\n"),
            concat!("smlad r5, ", $t, ", r9, r5\n"),
            concat!("smlad r7, ", $t, ", r11, r7\n"),
        )
    };
}

/// The accumulators of [`two_by_two`] become bytes: `[sp, #52]` records (which advance), `#56` their end, `#60`
/// zero point and shift, `#68` the output (which advances) and its stride from pixel to pixel. Leaves the
/// records in `r3` and the flags of their comparison with the end.
macro_rules! store_two_by_two {
    () => {
        concat!(
            "ldr r3, [sp, #52]\n",
            "ldm r3!, {{r8-r11}}\n",
            "str r3, [sp, #52]\n",
            "ldrd r8, r10, [sp, #60]\n",
            "ldrd r0, r12, [sp, #68]\n",
            requantise!("r4", "r9", "r8", "r10"),
            requantise!("r6", "r9", "r8", "r10"),
            requantise!("r5", "r11", "r8", "r10"),
            requantise!("r7", "r11", "r8", "r10"),
            "strb r6, [r0, r12]\n",
            "strb r4, [r0], #1\n",
            "strb r7, [r0, r12]\n",
            "strb r5, [r0], #1\n",
            "str r0, [sp, #68]\n",
            "ldr r12, [sp, #56]\n",
            "cmp r3, r12\n",
        )
    };
}
