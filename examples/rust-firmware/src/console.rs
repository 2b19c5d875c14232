//! Lines of text to the debugger's console (or QEMU's), without formatting. A product has a UART instead.

use core::ffi::CStr;

/// Bytes of the longest line.
const ROOM: usize = 256;

/// A line in the making; what does not fit is left out.
pub struct Line {
    bytes: [u8; ROOM],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Line { bytes: [0; ROOM], len: 0 }
    }
}

impl Line {
    /// Appends text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        text.bytes().for_each(|b| self.push(b));
        self
    }

    /// Appends a number.
    pub fn number(&mut self, number: i32) -> &mut Self {
        if number < 0 {
            self.push(b'-');
        }
        let mut rest = number.unsigned_abs();
        let mut digits = [0; 10];
        let mut first = digits.len();
        for (i, digit) in digits.iter_mut().enumerate().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            first = i;
            if rest == 0 {
                break;
            }
        }
        digits.iter().skip(first).for_each(|&digit| self.push(digit));
        self
    }

    /// Shows the line.
    pub fn show(&mut self) {
        self.push(b'\n');
        if let Ok(line) = CStr::from_bytes_until_nul(&self.bytes) {
            semihosting::sys::arm_compat::sys_write0(line);
        }
    }

    /// Appends a byte; the last place stays NUL.
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes[..ROOM - 1].get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }
}
