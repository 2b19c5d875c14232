//! The service as a user runs it: killed at any time it goes on from what it saved, and it ends cleanly when told to.

#[path = "../../../runtime/tests/common/mod.rs"]
mod common;

use common::spec;
use evenkeel_monitor::collect::{Arrival, Collection};
use evenkeel_monitor::snapshot::{Header, Snapshot};
use evenkeel_runtime::snapshot::{self, DeviceKeys, FleetKey, Sealed};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

const DEVICE: u64 = 7;

struct Bench {
    folder: tempfile::TempDir,
    keys: DeviceKeys,
    values: usize,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = FleetKey::new([3; 32]).device(DEVICE);
        let digits: String = keys.bytes().iter().map(|b| format!("{b:02x}")).collect();
        fs::write(folder.path().join("device.key"), digits).expect("written");
        let spec = spec();
        let input = &spec.tensors[spec.input as usize];
        let values = (input.c * input.h * input.w) as usize;
        fs::write(folder.path().join("model.keel"), spec.to_bytes()).expect("written");
        Bench { folder, keys, values }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> Command {
        let mut c = Command::new(env!("CARGO_BIN_EXE_evenkeel-service"));
        c.arg(self.path("model.keel")).args(["--device", &DEVICE.to_string(), "--every", "5"]);
        c.arg("--key").arg(self.path("device.key")).arg("--state").arg(self.path("state"));
        c.arg("--outbox").arg(self.path("outbox")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        c
    }

    /// A labelled frame of the model's only group, or of nobody's.
    fn frame(&self, i: usize) -> String {
        let x: Vec<f32> = (0..self.values).map(|k| ((i * 31 + k * 7) % 255) as f32).collect();
        let group = if i.is_multiple_of(4) { "null".to_owned() } else { format!("{:?}", group()) };
        format!("{{\"id\": \"{i}\", \"x\": {x:?}, \"group\": {group}, \"label\": {}}}\n", i % 3)
    }

    /// What was published, by number; nothing, where it was killed before it had made its outbox.
    fn published(&self) -> BTreeMap<u32, Snapshot> {
        let files = match fs::read_dir(self.path("outbox")) {
            Err(e) if e.kind() == ErrorKind::NotFound => return BTreeMap::new(),
            files => files.expect("an outbox").map(|e| e.expect("an entry").path()),
        };
        let read = |path: PathBuf| {
            let bytes = fs::read(&path).expect("read");
            let sealed = Sealed::parse(&bytes).expect("whole");
            let message = snapshot::Snapshot::open(&sealed, &self.keys).expect("by this device");
            let snapshot = Snapshot::parse(Header::of(&message), message.payload).expect("plausible");
            (snapshot.header.seq, snapshot)
        };
        files.filter(|p| p.extension().is_some_and(|e| e == "eks")).map(read).collect()
    }
}

fn group() -> String {
    let bytes = common::Buffer::new(&spec().to_bytes());
    let model = evenkeel_runtime::Model::from_bytes(bytes.bytes()).expect("a model");
    let (_, floors) = model.monitor().expect("a monitor");
    model.name(floors[0].name).to_owned()
}

type Answers = Lines<BufReader<ChildStdout>>;

fn pipes(child: &mut Child) -> (ChildStdin, Answers) {
    (child.stdin.take().expect("piped"), BufReader::new(child.stdout.take().expect("piped")).lines())
}

/// Sends frames from number `from` on, as long as the service takes them; gives how many were answered.
fn feed((input, answers): &mut (ChildStdin, Answers), bench: &Bench, from: usize, frames: usize) -> usize {
    for i in 0..frames {
        if input.write_all(bench.frame(from + i).as_bytes()).is_err() {
            return i;
        }
        match answers.next() {
            Some(Ok(answer)) => assert!(answer.contains("\"class\""), "{answer}"),
            _ => return i,
        }
    }
    frames
}

fn records(state: &Path) -> Vec<PathBuf> {
    ["0", "1"].map(|end| PathBuf::from(format!("{}.{end}", state.display()))).to_vec()
}

/// Killed two hundred times, wherever it is: it goes on from the newest state that it saved, numbers never come twice, and
/// nothing was published that it does not have.
#[test]
fn nothing_that_was_published_is_lost_when_it_is_killed() {
    let bench = Bench::new();
    let (mut sent, mut newest) = (0, 0);
    for round in 0..200u64 {
        let mut child = bench.command().spawn().expect("started");
        let mut pipes = pipes(&mut child);
        // Every fourth time as it starts, else after some answers, so that a slow machine gets on as well.
        let quiet = if round.is_multiple_of(4) { 0 } else { 1 + round * 13 % 37 };
        sent += feed(&mut pipes, &bench, sent, quiet as usize);
        std::thread::scope(|scope| {
            let killer = scope.spawn(|| {
                std::thread::sleep(Duration::from_micros(round * 7919 % 10_000));
                child.kill()
            });
            sent += feed(&mut pipes, &bench, sent, 40);
            killer.join().expect("joined").expect("killed");
        });
        child.wait().expect("ended");
        if let Some((&seq, _)) = bench.published().last_key_value() {
            assert!(seq >= newest, "round {round}: {seq} after {newest}");
            newest = seq;
        }
    }
    // One more start: what is durable is at least as new as all that was ever published.
    let before = bench.published();
    let mut child = bench.command().spawn().expect("started");
    feed(&mut pipes(&mut child), &bench, sent, 1);
    assert!(child.wait().expect("ended").success());
    let after = bench.published();
    let mut seen = Collection::default();
    for snapshot in after.values() {
        assert_eq!(seen.insert(snapshot.clone()), Arrival::New, "snapshot {}", snapshot.header.seq);
    }
    let (last, first_new) = (before.last_key_value(), after.range(newest + 1..).next());
    let (Some((_, last)), Some((_, new))) = (last, first_new) else { panic!("{} were published", before.len()) };
    assert!(new.header.boot > last.header.boot && new.common.events >= last.common.events);
    assert!(newest > 100, "it was saved now and then: {newest}");
}

#[test]
fn a_signal_ends_it_with_everything_saved() {
    let bench = Bench::new();
    let mut child = bench.command().spawn().expect("started");
    let (mut input, mut answers) = pipes(&mut child);
    for i in 0..23 {
        input.write_all(bench.frame(i).as_bytes()).expect("taken");
        assert!(answers.next().expect("an answer").expect("text").contains("\"class\""));
    }
    let status = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill");
    assert!(status.success() && child.wait().expect("ended").success());
    let all = bench.published();
    let last = all.last_key_value().expect("one").1;
    // Every fourth frame is of nobody's group.
    assert_eq!((last.common.events, last.common.unknown.n), (17, 6));
    assert!(records(&bench.path("state")).iter().all(|p| p.is_file()));
}

#[test]
fn labels_come_late_and_bad_lines_change_nothing() {
    let bench = Bench::new();
    let mut child = bench.command().spawn().expect("started");
    let (mut input, mut answers) = pipes(&mut child);
    let mut ask = |line: &str| {
        input.write_all(line.as_bytes()).and_then(|()| input.write_all(b"\n")).expect("taken");
        answers.next().expect("an answer").expect("text")
    };
    let frame = |extra: &str| {
        let x: Vec<f32> = vec![1.0; bench.values];
        format!("{{\"x\": {x:?}, \"group\": {:?}{extra}}}", group())
    };
    assert!(ask(&frame(", \"id\": \"a\"")).contains("\"class\""));
    assert!(ask("{\"id\": \"a\", \"label\": 1}").contains("\"label\":1"));
    assert!(ask("{\"id\": \"a\", \"label\": 1}").contains("no prediction `a` waits"));
    // Three frames of an episode are one event.
    for _ in 0..3 {
        ask(&frame(", \"episode\": \"e\""));
    }
    assert!(ask("{\"id\": \"e\", \"label\": 0, \"source\": \"complaint\"}").contains("\"label\":0"));
    assert!(ask("{\"x\": [1.0]}").contains("error"));
    assert!(ask("{\"id\": \"b\", \"label\": 1, \"source\": \"rumour\"}").contains("rumour"));
    assert!(ask("nonsense").contains("not a line"));
    assert!(ask("{\"acknowledge\": \"00\"}").contains("error"));
    drop(input);
    assert!(child.wait().expect("ended").success());
    let all = bench.published();
    let last = all.last_key_value().expect("one").1;
    let traffic = last.cells[0].traffic.expect("full");
    assert_eq!((last.common.events, traffic.predictions(), last.common.sources[3]), (1, 2, 1));
}

#[test]
fn frames_of_a_folder_are_answered_in_order_and_what_is_missing_is_named() {
    let bench = Bench::new();
    let frames = bench.path("frames");
    fs::create_dir(&frames).expect("made");
    let run = || bench.command().arg("--frames").arg(&frames).stderr(Stdio::piped()).output().expect("started");
    let none = run();
    assert!(!none.status.success() && String::from_utf8_lossy(&none.stderr).contains("there is no frame"));
    for i in 0..3 {
        let bytes: Vec<u8> = (0..bench.values).flat_map(|k| (k as f32).to_le_bytes()).collect();
        fs::write(frames.join(format!("{i}.f32")), bytes).expect("written");
    }
    fs::write(frames.join("1.json"), format!("{{\"group\": {:?}, \"label\": 2}}", group())).expect("written");
    let done = run();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let ids: Vec<bool> = text.lines().zip(0..).map(|(line, i)| line.contains(&format!("\"id\":\"{i}\""))).collect();
    assert!(done.status.success() && ids == [true; 3], "{text}");
    fs::write(bench.path("device.key"), "xyz").expect("written");
    assert!(String::from_utf8_lossy(&run().stderr).contains("evenkeel monitor enrol"));
}
