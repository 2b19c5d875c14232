//! The C functions, called as C calls them: they do what the runtime does, and refuse what they can see is wrong.
#![allow(unsafe_code, reason = "C functions take pointers")]

use std::ffi::{CStr, c_char};
use std::mem::{MaybeUninit, zeroed};
use std::ptr::{null, null_mut};

use evenkeel_c::*;
use evenkeel_runtime::monitor::{Config, Full, Monitor, Prediction, Source as Origin, Ticket, words};
use evenkeel_runtime::preprocess::quantise_input;
use evenkeel_runtime::{Model, Session};

#[path = "../../tests/common/mod.rs"]
mod common;
use common::{Buffer, spec};

/// 6 × 6 × 3 values as of a camera.
fn values(k: usize) -> Vec<f32> {
    (0..108).map(|i| ((i * 37 + k * 11) % 256) as f32).collect()
}

fn verified(file: &Buffer) -> ModelStorage {
    let mut model = MaybeUninit::<ModelStorage>::zeroed();
    // SAFETY: the bytes are there, and so is the room.
    let status = unsafe { ek_model_verify(file.bytes().as_ptr(), file.bytes().len(), model.as_mut_ptr()) };
    assert_eq!(status, Status::Ok);
    // SAFETY: zeroed words, then written.
    unsafe { model.assume_init() }
}

#[test]
fn runs_are_those_of_the_runtime() {
    let file = Buffer::new(&spec().to_bytes());
    let model = verified(&file);
    let direct = Model::from_bytes(file.bytes()).expect("a model");
    let mut arena = Buffer::zeroed(direct.arena_len());
    let mut own = Buffer::zeroed(direct.arena_len());
    let mut expected = Session::new(&direct, own.bytes_mut()).expect("a session");
    // SAFETY: all objects and buffers outlive the calls.
    unsafe {
        assert_eq!(ek_arena_len(&model), direct.arena_len());
        let mut session = zeroed::<SessionStorage>();
        let len = arena.bytes().len();
        assert_eq!(ek_session_init(&mut session, &model, arena.bytes_mut().as_mut_ptr(), len), Status::Ok);
        for k in 0..3 {
            let raw = values(k);
            quantise_input(&direct, &raw, expected.input_mut()).expect("the length");
            assert_eq!(ek_quantise_input(&mut session, raw.as_ptr(), raw.len()), Status::Ok);
            let mut len = 0;
            let input = ek_session_input(&mut session, &mut len);
            assert_eq!(std::slice::from_raw_parts(input, len), expected.input_mut());
            expected.run();
            assert_eq!(ek_session_run(&mut session), Status::Ok);
            let output = ek_session_output(&session, &mut len);
            assert_eq!(std::slice::from_raw_parts(output, len), expected.output());
            let mut class = usize::MAX;
            assert_eq!(ek_session_classify(&session, &mut class), Status::Ok);
            assert_eq!(class, expected.classify());
        }
        assert_eq!(ek_quantise_input(&mut session, values(0).as_ptr(), 107), Status::InputLength);
    }
}

#[test]
fn says_what_is_in_a_model() {
    let file = Buffer::new(&spec().to_bytes());
    let model = verified(&file);
    let direct = Model::from_bytes(file.bytes()).expect("a model");
    // SAFETY: all objects and buffers outlive the calls.
    unsafe {
        let mut info = zeroed::<ModelInfo>();
        assert_eq!(ek_model_info(&model, &mut info), Status::Ok);
        let tensor = |h, w, c| TensorInfo { height: h, width: w, channels: c, scale: 0.05, zero: -3 };
        assert_eq!((info.input, info.output), (tensor(6, 6, 3), tensor(1, 1, 3)));
        assert_eq!((info.file_len, info.arena_len, info.crc), (direct.file_len(), direct.arena_len(), direct.crc()));
        assert_eq!((info.groups, info.verdict, info.unproven, info.verdict_rows), (1, Verdict::Pass, false, 100));

        let mut name = [b'x' as c_char; 14];
        assert_eq!(ek_group_name(&model, 0, name.as_mut_ptr(), name.len()), 13);
        assert_eq!(CStr::from_ptr(name.as_ptr()), c"gender=female");
        assert_eq!(ek_group_name(&model, 0, name.as_mut_ptr(), 7), 13, "the whole length");
        assert_eq!(CStr::from_ptr(name.as_ptr()), c"gender");
        assert_eq!(ek_group_name(&model, 0, null_mut(), 7), 13);
        assert_eq!(ek_group_name(&model, 1, name.as_mut_ptr(), name.len()), 0);
        assert_eq!(CStr::from_ptr(name.as_ptr()), c"");
    }
}

#[test]
fn the_monitor_counts_as_the_runtimes() {
    const SLOTS: usize = 4;
    let file = Buffer::new(&spec().to_bytes());
    let model = verified(&file);
    let direct = Model::from_bytes(file.bytes()).expect("a model");
    let config = Config::of(&direct).expect("sound").expect("a monitor");
    let mut own = vec![0; words::<Full>(1, SLOTS)];
    let mut expected = Monitor::<Full>::new(config, &mut own, SLOTS).expect("a monitor");
    let mut state = vec![0; EK_MONITOR_COMMON_WORDS + EK_MONITOR_GROUP_WORDS + SLOTS];
    let (start, len) = (state.as_mut_ptr(), state.len());
    let mut arena = Buffer::zeroed(direct.arena_len());
    let mut alarms = 0;
    // SAFETY: all objects and buffers outlive the calls.
    unsafe {
        let mut monitor = zeroed::<MonitorStorage>();
        let m = &raw mut monitor;
        assert_eq!(ek_monitor_init(m, &model, start, len, SLOTS + 1), Status::MonitorState);
        assert_eq!(ek_monitor_init(m, &model, start, len, 1 << 16), Status::MonitorState);
        assert_eq!(ek_monitor_init(m, &model, start, len, SLOTS), Status::Ok);
        for i in 0..500 {
            let mut raised = zeroed::<Raised>();
            assert_eq!(ek_monitor_count(m, 0, i % 2 == 0, Source::Reference as i32, &mut raised), Status::Ok);
            let same = expected.count(Some(0), i % 2 == 0, Origin::Reference).expect("a group");
            assert_eq!((raised.floor, raised.gap), (same.floor, same.gap));
            alarms += raised.floor;
        }
        assert!(alarms > 0, "half right is below the floor");
        assert_eq!(ek_monitor_count(m, 1, true, 0, null_mut()), Status::NoSuchGroup);
        assert_eq!(ek_monitor_count(m, 0, true, 4, null_mut()), Status::NoSuchSource);
        let mut alarm = zeroed::<Alarm>();
        assert_eq!(ek_monitor_alarm(m, 0, &mut alarm), Status::Ok);
        let first = *expected.alarms().next().expect("kept");
        assert_eq!((alarm.kind, alarm.group, alarm.times as u64), (AlarmKind::Floor, 0, alarms));
        assert_eq!((alarm.events, alarm.n, alarm.correct), (first.events, first.n, first.correct));
        assert_eq!(ek_monitor_alarm(m, 1, &mut alarm), Status::Ok);
        assert_eq!(alarm.kind, AlarmKind::None);
        assert_eq!(ek_monitor_acknowledge(m, 1), Status::Ok);
        expected.acknowledge(1);
        assert_eq!(ek_monitor_alarm(m, 0, &mut alarm), Status::Ok);
        assert_eq!(alarm.kind, AlarmKind::None);

        // Late labels, of the known and of the unknown.
        let mut session = zeroed::<SessionStorage>();
        let room = arena.bytes().len();
        assert_eq!(ek_session_init(&mut session, &model, arena.bytes_mut().as_mut_ptr(), room), Status::Ok);
        assert_eq!(ek_session_self_test(&mut session), Status::Ok);
        let raw = values(1);
        assert_eq!(ek_quantise_input(&mut session, raw.as_ptr(), raw.len()), Status::Ok);
        assert_eq!(ek_session_run(&mut session), Status::Ok);
        let mut output_len = 0;
        let output = ek_session_output(&session, &mut output_len);
        let prediction = Prediction::of_outputs(std::slice::from_raw_parts(output, output_len));
        let mut tickets = [u32::MAX; 6];
        for (i, ticket) in tickets.iter_mut().enumerate() {
            let (group, same) = if i % 2 == 0 { (0, Some(0)) } else { (EK_UNKNOWN_GROUP, None) };
            assert_eq!(ek_monitor_predict(m, group, &session, ticket), Status::Ok);
            assert_eq!(expected.predict(same, prediction), Ok(Ticket(*ticket)));
        }
        for i in [5, 2] {
            assert_eq!(ek_monitor_label(m, tickets[i], prediction.class, 1, null_mut()), Status::Ok);
            expected.label(Ticket(tickets[i]), prediction.class, Origin::User).expect("in time");
            assert_eq!(ek_monitor_label(m, tickets[i], 0, 1, null_mut()), Status::Ticket, "twice");
        }
        assert_eq!(ek_monitor_label(m, tickets[0], 0, 1, null_mut()), Status::Ticket, "expired");
        let mut counts = zeroed::<GroupCounts>();
        assert_eq!(ek_monitor_group(m, EK_UNKNOWN_GROUP, &mut counts), Status::Ok);
        assert_eq!(counts, GroupCounts { n: 1, correct: 1, predictions: 3, expired: 1 });
        assert_eq!(ek_monitor_restarted(m, 7), Status::Ok);
        expected.restarted(7);
        assert_eq!(ek_monitor_group(m, 0, &mut counts), Status::Ok);
        assert_eq!(counts, GroupCounts { n: 501, correct: 251, predictions: 3, expired: 2 });
        assert_eq!(ek_monitor_group(m, 1, &mut counts), Status::NoSuchGroup);
        assert_eq!(ek_monitor_predict(m, 0, &session, null_mut()), Status::NullPointer);
    }
    assert_eq!(state, own);
}

#[test]
fn refuses_null_misaligned_and_uninitialised() {
    let file = Buffer::new(&spec().to_bytes());
    let (bytes, len) = (file.bytes().as_ptr(), file.bytes().len());
    let shifted = Buffer::new(&[&[0], file.bytes()].concat());
    let mut arena = Buffer::zeroed(4096);
    let arena = arena.bytes_mut().as_mut_ptr();
    // SAFETY: pointers are NULL, or objects and buffers that outlive the calls; odd ones stay inside their objects.
    unsafe {
        let mut room = zeroed::<[ModelStorage; 2]>();
        let model = room.as_mut_ptr();
        let odd = model.byte_add(1);
        assert_eq!(ek_model_verify(null(), len, model), Status::NullPointer);
        assert_eq!(ek_model_verify(bytes, len, null_mut()), Status::NullPointer);
        assert_eq!(ek_model_verify(bytes, len, odd), Status::Alignment);
        assert_eq!(ek_model_verify(shifted.bytes().as_ptr().add(1), len, model), Status::Alignment);
        assert_eq!(ek_model_verify(bytes, usize::MAX, model), Status::Length);
        assert_eq!(ek_arena_len(null()), 0);
        assert_eq!(ek_arena_len(model), 0, "not verified yet");

        let mut sessions = zeroed::<[SessionStorage; 2]>();
        let session = sessions.as_mut_ptr();
        assert_eq!(ek_session_init(session, model, arena, 4096), Status::NotInitialised);
        assert_eq!(ek_model_verify(bytes, len, model), Status::Ok);
        assert_eq!(ek_session_init(null_mut(), model, arena, 4096), Status::NullPointer);
        assert_eq!(ek_session_init(session, null(), arena, 4096), Status::NullPointer);
        assert_eq!(ek_session_init(session, model, null_mut(), 4096), Status::NullPointer);
        assert_eq!(ek_session_init(session, model, arena.add(1), 4095), Status::Alignment);
        assert_eq!(ek_session_init(session, model, arena, ek_arena_len(model) - 1), Status::ArenaTooSmall);
        assert_eq!(ek_session_init(session.byte_add(2), model, arena, 4096), Status::Alignment);

        assert!(ek_session_input(session, null_mut()).is_null() && ek_session_output(session, null_mut()).is_null());
        assert!(ek_session_input(null_mut(), null_mut()).is_null());
        assert_eq!(ek_session_run(session), Status::NotInitialised);
        assert_eq!(ek_session_init(session, model, arena, 4096), Status::Ok);
        assert_eq!(ek_session_run(session), Status::Ok);
        assert_eq!(ek_session_classify(session, null_mut()), Status::NullPointer);
        assert_eq!(ek_quantise_input(session, null(), 108), Status::NullPointer);
        assert_eq!(ek_quantise_input(session, arena.add(2).cast(), 108), Status::Alignment);
        assert_eq!(ek_quantise_input(session, arena.cast(), usize::MAX), Status::Length);
        // A failed initialisation leaves no earlier one in place.
        assert_eq!(ek_session_init(session, model, null_mut(), 4096), Status::NullPointer);
        assert_eq!(ek_session_run(session), Status::NotInitialised);
        assert_eq!(ek_model_verify(bytes, len - 1, model), Status::FileLength);
        assert_eq!(ek_model_info(model, null_mut()), Status::NotInitialised);

        let mut monitor = zeroed::<MonitorStorage>();
        assert_eq!(ek_monitor_init(&mut monitor, model, null_mut(), 110, 0), Status::NotInitialised);
        assert_eq!(ek_model_verify(bytes, len, model), Status::Ok);
        assert_eq!(ek_monitor_init(&mut monitor, model, null_mut(), 110, 0), Status::NullPointer);
        assert_eq!(ek_monitor_count(&mut monitor, 0, true, 0, null_mut()), Status::NotInitialised);
        assert_eq!(ek_monitor_count(null_mut(), 0, true, 0, null_mut()), Status::NullPointer);
    }
}

#[test]
fn damaged_files_have_their_numbers() {
    let good = spec().to_bytes();
    let no_monitor = evenkeel_runtime::format::FileSpec { monitor: None, field: None, ..spec() }.to_bytes();
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x40;
        bytes
    };
    for (bytes, expected) in [
        (good[..10].to_vec(), Status::FileLength),
        (changed(0), Status::FileMagic),
        (changed(4), Status::FileVersion),
        (changed(20), Status::FileDamaged),
        (changed(good.len() - 1), Status::FileDamaged),
    ] {
        let file = Buffer::new(&bytes);
        let mut model = MaybeUninit::<ModelStorage>::zeroed();
        // SAFETY: the bytes are there, and so is the room.
        let status = unsafe { ek_model_verify(file.bytes().as_ptr(), bytes.len(), model.as_mut_ptr()) };
        assert_eq!(status, expected);
    }
    let file = Buffer::new(&no_monitor);
    let model = verified(&file);
    let (mut monitor, mut state) = (MaybeUninit::<MonitorStorage>::zeroed(), [0; 110]);
    // SAFETY: all objects outlive the call.
    let status = unsafe { ek_monitor_init(monitor.as_mut_ptr(), &model, state.as_mut_ptr(), 110, 0) };
    assert_eq!(status, Status::NoMonitor);
}

#[test]
fn every_number_has_a_text() {
    for (i, status) in Status::ALL.into_iter().enumerate() {
        assert_eq!(status as usize, i);
    }
    let mut buf = [0 as c_char; 200];
    for code in [-1, 0, 1, 14, 19, 20, 22, 23, i32::MAX] {
        // SAFETY: the buffer outlives the calls.
        let (len, text) = unsafe {
            let len = ek_error_text(code, buf.as_mut_ptr(), buf.len());
            (len, CStr::from_ptr(buf.as_ptr()))
        };
        assert_eq!(len, text.to_bytes().len());
        assert!(len > 3);
    }
    // SAFETY: the version is a constant.
    let version = unsafe { CStr::from_ptr(ek_version()) };
    assert_eq!(version.to_str(), Ok(env!("CARGO_PKG_VERSION")));
}
