//! CRC-32 (IEEE 802.3, reflected, as in zip and PNG).
//!
//! On devices with a table of 16 entries: 64 bytes of flash, two steps a byte. With the feature `std` by the
//! `crc32fast` crate, which multiplies polynomials where the processor can: the checksum of a mapped file is then
//! about as fast as memory.

/// The checksum of `bytes`.
#[cfg(feature = "std")]
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// The checksum of `bytes`.
#[cfg(not(feature = "std"))]
pub fn crc32(bytes: &[u8]) -> u32 {
    by_table(0, bytes)
}

/// The checksum of what has the checksum `crc`, with `bytes` behind it: for bytes that come in pieces. That of nothing
/// is 0.
#[cfg(all(feature = "snapshot", feature = "std"))]
pub(crate) fn extend(crc: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(crc);
    hasher.update(bytes);
    hasher.finalize()
}

/// The checksum of what has the checksum `crc`, with `bytes` behind it: for bytes that come in pieces. That of nothing
/// is 0.
#[cfg(all(feature = "snapshot", not(feature = "std")))]
pub(crate) fn extend(crc: u32, bytes: &[u8]) -> u32 {
    by_table(crc, bytes)
}

#[cfg(any(test, not(feature = "std")))]
const TABLE: [u32; 16] = table();

#[cfg(any(test, not(feature = "std")))]
const fn table() -> [u32; 16] {
    let mut table = [0u32; 16];
    let mut i = 0;
    while i < 16 {
        let mut r = i as u32;
        let mut bit = 0;
        while bit < 4 {
            r = if r & 1 == 1 { (r >> 1) ^ 0xEDB8_8320 } else { r >> 1 };
            bit += 1;
        }
        table[i] = r;
        i += 1;
    }
    table
}

#[cfg(any(test, not(feature = "std")))]
fn by_table(crc: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!crc, |crc, &byte| {
        let crc = crc ^ byte as u32;
        let crc = TABLE[(crc & 15) as usize] ^ (crc >> 4);
        TABLE[(crc & 15) as usize] ^ (crc >> 4)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_check_value_of_the_standard() {
        for crc in [crc32, |bytes: &[u8]| by_table(0, bytes)] {
            assert_eq!(crc(b"123456789"), 0xCBF4_3926);
            assert_eq!(crc(b""), 0);
        }
    }

    #[test]
    fn both_ways_agree() {
        let bytes: std::vec::Vec<u8> = (0..1000u32).map(|i| ((i * i) >> 3) as u8).collect();
        for len in (0..bytes.len()).step_by(if cfg!(miri) { 97 } else { 1 }) {
            assert_eq!(crc32(&bytes[..len]), by_table(0, &bytes[..len]));
            #[cfg(feature = "snapshot")]
            assert_eq!(crc32(&bytes), extend(crc32(&bytes[..len]), &bytes[len..]));
            assert_eq!(crc32(&bytes), by_table(crc32(&bytes[..len]), &bytes[len..]));
        }
    }
}
