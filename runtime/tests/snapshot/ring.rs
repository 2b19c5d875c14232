//! What a ring refuses, and what it does when flash wears out.

use evenkeel_runtime::snapshot::{RingError, SlotRing, Stamp, Store};

use crate::flash::Flash;

type Small = Flash<4, 256>;

fn open(flash: &mut Small, longest: usize) -> Result<SlotRing<&mut Small>, RingError<crate::flash::Cut>> {
    let all = 0..flash.erased.len() as u32 * 256;
    SlotRing::open(flash, all, longest, 7)
}

/// The state found in the flash.
fn found(flash: &mut Small) -> Option<Vec<u8>> {
    let mut buffer = [0; 100];
    open(flash, 20).expect("a ring").load(&mut buffer).expect("a sound record").map(|r| r.state.to_vec())
}

#[test]
fn what_cannot_be_a_ring_is_refused_with_the_way_out() {
    let refused = |pages, range, longest| match SlotRing::open(Small::new(pages, 0), range, longest, 0) {
        Err(RingError::Geometry(fault)) => fault,
        other => panic!("{:?}", other.map(|_| ())),
    };
    assert!(refused(1, 0..256, 20).contains("two pages"));
    assert!(refused(2, 256..512, 20).contains("two pages"));
    assert!(refused(2, 0..0, 20).contains("two pages"));
    assert!(refused(2, 0..768, 20).contains("not inside"));
    assert!(refused(2, 0..500, 20).contains("begin and end"));
    assert!(refused(3, 4..516, 20).contains("begin and end"));
    assert!(refused(2, 0..512, 209).contains("longer than a page"));
    assert!(refused(2, 0..512, usize::MAX).contains("longer than a page"));
    assert!(SlotRing::open(Small::new(2, 0), 0..512, 208, 0).is_ok());
    let odd = SlotRing::open(Flash::<48, 480>::new(2, 0), 0..960, 20, 0);
    assert!(matches!(odd, Err(RingError::Geometry(fault)) if fault.contains("64 bytes")));
}

#[test]
fn states_and_buffers_that_do_not_fit_are_refused() {
    let mut flash = Small::new(2, 0);
    let mut ring = open(&mut flash, 20).unwrap();
    assert_eq!(ring.load(&mut []), Ok(None));
    assert_eq!(ring.save(&[1; 21]).map(|_| ()), Err(RingError::TooLong { len: 21, most: 20 }));
    ring.save(&[1; 20]).unwrap();
    assert_eq!(ring.load(&mut [0; 19]), Err(RingError::Buffer { needed: 20, given: 19 }));
    ring.save(&[]).unwrap();
    assert_eq!(ring.load(&mut []).unwrap().unwrap().state, b"");
}

#[test]
fn stamps_grow_and_keep_their_incarnation() {
    let mut flash = Small::new(2, 0);
    let mut ring = open(&mut flash, 20).unwrap();
    for seq in 1..20 {
        assert_eq!(ring.save(b"state").unwrap().stamp(), Stamp { incarnation: 7, boot: 1, seq });
    }
    // A run that saves nothing has no number.
    found(&mut flash);
    let mut ring = SlotRing::open(&mut flash, 0..512, 20, 99).unwrap();
    let stamp = ring.save(b"state").unwrap().stamp();
    assert_eq!((stamp.incarnation, stamp.boot), (7, 2));
    assert!(stamp.seq > 19);
    ring.renew(8);
    let renewed = ring.save(b"state").unwrap().stamp();
    assert_eq!((renewed.incarnation, renewed.boot, renewed.seq), (8, 2, stamp.seq + 1));
}

#[test]
fn slots_of_another_size_are_seen() {
    let mut flash = Small::new(2, 0);
    open(&mut flash, 20).unwrap().save(b"kept by an older firmware").unwrap_err();
    open(&mut flash, 20).unwrap().save(b"kept before").unwrap();
    assert!(matches!(open(&mut flash, 60), Err(RingError::OtherSlots { found: 68, expected: 108 })));
    assert!(matches!(open(&mut flash, 10), Err(RingError::OtherSlots { found: 68, expected: 60 })));
    assert_eq!(found(&mut flash).unwrap(), b"kept before");
    let mut ring = SlotRing::format(&mut flash, 0..512, 60, 8).unwrap();
    assert_eq!(ring.load(&mut []), Ok(None));
    assert_eq!(ring.save(b"kept by this one").unwrap().stamp().incarnation, 8);
    assert!(open(&mut flash, 60).is_ok());
}

#[test]
fn worn_slots_are_passed_over_and_a_worn_ring_says_so() {
    // Each word of the second slot in turn does not take anything.
    for word in 17..34 {
        let mut flash = Small::new(2, 0);
        flash.stuck = vec![word];
        for n in 0..20u8 {
            open(&mut flash, 20).unwrap().save(&[n; 20]).unwrap();
            assert_eq!(found(&mut flash).unwrap(), [n; 20]);
        }
    }
    // A page that takes nothing: the other one goes on being used as long as it holds nothing that is needed.
    let mut flash = Small::new(2, 0);
    flash.stuck = (64..128).collect();
    let mut ring = open(&mut flash, 20).unwrap();
    for n in 0..3 {
        ring.save(&[n; 20]).unwrap();
    }
    assert_eq!(ring.save(&[3; 20]), Err(RingError::NotKept));
    assert_eq!(ring.save(&[3; 20]), Err(RingError::NotKept));
    assert_eq!(found(&mut flash).unwrap(), [2; 20]);
    flash.stuck.clear();
    open(&mut flash, 20).unwrap().save(&[5; 20]).unwrap();
    assert_eq!(found(&mut flash).unwrap(), [5; 20]);
}

#[test]
fn a_record_that_rots_is_counted_and_its_number_does_not_come_again() {
    for bit in 0..8 * 48 {
        let mut flash = Small::new(2, 0);
        let mut ring = open(&mut flash, 20).unwrap();
        let last = (0..4).map(|n| ring.save(&[n; 20]).unwrap().stamp().seq).last().unwrap();
        // The fourth record is the first of the second page.
        flash.cells()[256 + 4 + bit / 8] ^= 1 << (bit % 8);
        assert_eq!(found(&mut flash).unwrap(), [2; 20]);
        let mut ring = open(&mut flash, 20).unwrap();
        assert_eq!(ring.damaged(), 1);
        assert!(ring.save(&[9; 20]).unwrap().stamp().seq > last);
        assert_eq!(found(&mut flash).unwrap(), [9; 20]);
    }
}

#[test]
fn flash_that_cannot_be_read_is_no_new_ring() {
    let mut flash = Small::new(2, 0);
    open(&mut flash, 20).unwrap().save(b"state").unwrap();
    flash.off = true;
    assert!(matches!(open(&mut flash, 20), Err(RingError::Flash(_))));
}

#[test]
fn numbers_that_are_used_up_are_an_error() {
    let mut flash = Small::new(2, 0);
    open(&mut flash, 20).unwrap().save(b"state").unwrap();
    // The number is the last field of the head; the checksum is made right.
    let record = &mut flash.cells()[4..4 + 33];
    record[24..28].copy_from_slice(&(u32::MAX - 2).to_le_bytes());
    let crc = evenkeel_runtime::format::crc32(&record[8..]);
    record[4..8].copy_from_slice(&crc.to_le_bytes());
    let mut ring = open(&mut flash, 20).unwrap();
    assert_eq!(ring.newest().unwrap().seq, u32::MAX - 2);
    assert_eq!(ring.save(b"state"), Err(RingError::SeqSpent));
    assert_eq!(found(&mut flash).unwrap(), b"state");
}

#[test]
fn a_slot_with_a_mark_before_its_record_is_passed_over() {
    let mut flash = Small::new(2, 0);
    open(&mut flash, 20).unwrap().save(&[1; 20]).unwrap();
    // The last mark of the second slot.
    flash.cells()[2 * 68 - 1] = 0x7F;
    for n in 2..5 {
        open(&mut flash, 20).unwrap().save(&[n; 20]).unwrap();
        assert_eq!(found(&mut flash).unwrap(), [n; 20]);
    }
}
