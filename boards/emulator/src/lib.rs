//! Runs the board firmware in QEMU.
