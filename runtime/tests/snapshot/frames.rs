//! Messages through links that lose, double, reorder and spoil frames.

use evenkeel_runtime::snapshot::{FRAME, FrameError, Frames, LARGEST_FRAME, Reassembler, SMALLEST_FRAME};
use proptest::prelude::*;

use crate::flash::Random;

fn frames(id: u16, message: &[u8], size: usize, from: u16) -> Vec<Vec<u8>> {
    Frames::new(id, message, size).expect("a size that can be").from(from).map(|f| f.bytes().to_vec()).collect()
}

/// Pushes bytes; the messages that they complete.
fn receive(reassembler: &mut Reassembler, bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut take = |&byte| reassembler.push(byte).ok().flatten().map(|m| (m.id, m.bytes.to_vec()));
    bytes.iter().filter_map(&mut take).collect()
}

fn buffer(longest: usize) -> Vec<u8> {
    vec![0xAA; Reassembler::buffer_len(longest)]
}

#[test]
fn frames_have_the_size_and_one_zero_at_their_end() {
    for size in SMALLEST_FRAME..=LARGEST_FRAME {
        for message in [&[0; 700][..], &[1; 700], &[0, 1, 2, 0, 255].repeat(140)] {
            let all = frames(7, message, size, 0);
            assert_eq!(all.len(), 700usize.div_ceil(size - 10));
            for frame in &all {
                assert!(frame.len() <= size && frame.iter().position(|&b| b == 0) == Some(frame.len() - 1));
            }
            let mut buffer = buffer(700);
            assert_eq!(receive(&mut Reassembler::new(&mut buffer), &all.concat()), [(7, message.to_vec())]);
        }
    }
    assert_eq!(frames(7, &[1; 70], FRAME, 0)[0].len(), FRAME);
}

#[test]
fn sizes_and_messages_that_cannot_be_are_refused() {
    assert_eq!(Frames::new(0, b"message", 10).map(|_| ()), Err(FrameError::Size(10)));
    assert_eq!(Frames::new(0, b"message", 257).map(|_| ()), Err(FrameError::Size(257)));
    assert_eq!(Frames::new(0, b"", FRAME).map(|_| ()), Err(FrameError::Message(0)));
    assert_eq!(Frames::new(0, &[0; 65536], FRAME).map(|_| ()), Err(FrameError::Message(65536)));
    let longest = vec![9; 65535];
    let mut buffer = buffer(65535);
    let got = receive(&mut Reassembler::new(&mut buffer), &frames(1, &longest, FRAME, 0).concat());
    assert_eq!(got, [(1, longest)]);
}

#[test]
fn what_is_missing_is_asked_for() {
    let message: Vec<u8> = (0..300u16).map(|i| i as u8).collect();
    let all = frames(5, &message, FRAME, 0);
    let mut buffer = buffer(300);
    let mut reassembler = Reassembler::new(&mut buffer);
    assert_eq!(reassembler.resume(), None);
    for frame in [&all[0], &all[3], &all[4]] {
        assert_eq!(receive(&mut reassembler, frame), []);
    }
    assert_eq!(reassembler.resume(), Some((5, 70)));
    let again = frames(5, &message, 50, 70);
    assert_eq!(receive(&mut reassembler, &again.concat()), [(5, message.clone())]);
    assert_eq!(reassembler.resume(), None);
    // All of it once more: nothing new.
    assert_eq!(receive(&mut reassembler, &all.concat()), []);
    // The number may come again with other bytes.
    let other: Vec<u8> = message.iter().map(|b| b ^ 1).collect();
    assert_eq!(receive(&mut reassembler, &frames(5, &other, FRAME, 0).concat()), [(5, other)]);
}

#[test]
fn late_frames_of_a_message_that_is_done_disturb_nothing() {
    let (first, second) = ([1; 200], [2; 200]);
    let (old, new) = (frames(1, &first, FRAME, 0), frames(2, &second, FRAME, 0));
    let mut buffer = buffer(200);
    let mut reassembler = Reassembler::new(&mut buffer);
    assert_eq!(receive(&mut reassembler, &old.concat()), [(1, first.to_vec())]);
    let mixed: Vec<u8> = new.iter().zip(&old).flat_map(|(n, o)| [&n[..], o].concat()).collect();
    assert_eq!(receive(&mut reassembler, &mixed), [(2, second.to_vec())]);
}

#[test]
fn frames_that_are_dropped_say_why() {
    let frame = &frames(1, &[5; 30], FRAME, 0)[0];
    let mut buffer = buffer(29);
    let mut reassembler = Reassembler::new(&mut buffer);
    let mut last = |bytes: &[u8]| bytes.iter().map(|&b| reassembler.push(b).map(|_| ())).last();
    assert_eq!(last(frame), Some(Err(FrameError::TooLong { total: 30, capacity: 29 })));
    assert_eq!(last(&[5, 0]), Some(Err(FrameError::Garbage)));
    assert_eq!(last(&[2, 9, 0]), Some(Err(FrameError::Garbage)));
    assert_eq!(last(&[&[7; 300][..], &[0]].concat()), Some(Err(FrameError::Garbage)));
    let mut changed = frame.clone();
    changed[12] ^= 1;
    assert_eq!(last(&changed), Some(Err(FrameError::Damaged)));
    assert_eq!(last(&[0, 0]), Some(Ok(())));
    assert!(Reassembler::new(&mut []).push(1).is_ok());
}

proptest! {
    /// The sender sends again what the receiver says is missing, over a link that does everything wrong.
    #[test]
    fn messages_come_through_a_bad_link(
        message in prop::collection::vec(any::<u8>(), 1..900),
        size in SMALLEST_FRAME + 9..=LARGEST_FRAME,
        seed in any::<u64>(),
    ) {
        let mut random = Random(seed);
        let mut buffer = buffer(1000);
        let mut reassembler = Reassembler::new(&mut buffer);
        let mut from = 0;
        let mut rounds = 0;
        loop {
            let mut wire = vec![];
            for frame in frames(9, &message, size, from) {
                let mut copies = vec![frame; [1, 1, 1, 0, 2][random.below(5) as usize]];
                if let Some(frame) = copies.first_mut().filter(|_| random.happens(10)) {
                    let bit = random.below(8 * frame.len() as u64) as usize;
                    frame[bit / 8] ^= 1 << (bit % 8);
                }
                wire.append(&mut copies);
                if random.happens(10) {
                    wire.push((0..random.below(30)).map(|_| random.below(256) as u8).collect());
                }
            }
            for i in 1..wire.len() {
                if random.happens(30) {
                    wire.swap(i, i - 1);
                }
            }
            let got = receive(&mut reassembler, &wire.concat());
            if let Some((id, bytes)) = got.into_iter().last() {
                prop_assert_eq!((id, bytes), (9, message));
                break;
            }
            // Where not even the number came through, all is sent again.
            from = reassembler.resume().filter(|&(id, _)| id == 9).map_or(0, |(_, at)| at);
            rounds += 1;
            prop_assert!(rounds < 200, "no end");
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..2000), len in 0usize..300) {
        let mut buffer = vec![0; len];
        let mut reassembler = Reassembler::new(&mut buffer);
        receive(&mut reassembler, &bytes);
        reassembler.resume();
        // A sound message behind it comes through.
        if len >= Reassembler::buffer_len(100) {
            let sound = [&[0][..], &frames(3, &[8; 100], 120, 0).concat()].concat();
            prop_assert_eq!(receive(&mut reassembler, &sound), [(3, vec![8; 100])]);
        }
    }

    #[test]
    fn a_flipped_bit_never_makes_another_message(message in prop::collection::vec(any::<u8>(), 1..69), bit in any::<prop::sample::Index>()) {
        let mut frame = frames(4, &message, FRAME, 0).concat();
        let bit = bit.index(8 * frame.len());
        frame[bit / 8] ^= 1 << (bit % 8);
        let mut buffer = buffer(100);
        prop_assert!(receive(&mut Reassembler::new(&mut buffer), &frame).is_empty());
    }
}
