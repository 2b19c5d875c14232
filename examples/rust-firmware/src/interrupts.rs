//! The chip's part of the vector table. No interrupt is ever enabled here, so one entry stands for all of them; in a
//! product the chip's peripheral access crate brings the whole table.

core::arch::global_asm!(".section .vector_table.interrupts, \"a\"", ".word DefaultHandler", ".text");
