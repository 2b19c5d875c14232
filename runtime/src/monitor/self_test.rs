//! The self-test at boot: does the device still compute what was certified?
//!
//! Inputs are drawn from a fixed generator, so none is stored; as every target computes the same bytes, one checksum of
//! the outputs, which the file carries, tells damaged flash, a broken kernel or a wrong build. It says nothing of the
//! world.

use crate::format::crc32;
use crate::kernels::Kernels;
use crate::{Error, Model, Session};

/// Inputs that a certified file is tested on.
pub const INPUTS: u32 = 16;

/// Runs the self-test of the model's file; the session's input and output are overwritten. Gives the number of inputs,
/// 0 where the file has no self-test.
///
/// # Errors
/// When an output differs.
pub fn run<K: Kernels>(model: &Model, session: &mut Session<K>) -> Result<u32, Error> {
    let Some(field) = model.field().filter(|f| f.head.test_inputs != 0) else { return Ok(0) };
    let (stated, actual) = (field.head.test_crc, checksum(session, field.head.test_inputs));
    if stated == actual { Ok(field.head.test_inputs) } else { Err(Error::SelfTest { stated, actual }) }
}

/// The checksum over the outputs on so many inputs: each output's CRC-32 with the one before it.
pub fn checksum<K: Kernels>(session: &mut Session<K>, inputs: u32) -> u32 {
    let mut word = 0x2545_F491_u32;
    let mut sum = 0;
    for _ in 0..inputs {
        for x in session.input_mut() {
            // xorshift32 (Marsaglia 2003).
            word ^= word << 13;
            word ^= word >> 17;
            word ^= word << 5;
            *x = (word >> 24) as i8;
        }
        session.run();
        let parts = [sum, crc32(bytemuck::cast_slice(session.output()))];
        sum = crc32(bytemuck::bytes_of(&parts));
    }
    sum
}
