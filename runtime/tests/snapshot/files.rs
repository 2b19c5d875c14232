//! State in files: damage is named, and an end at any moment loses nothing.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use evenkeel_runtime::snapshot::{FileFault, FileStore, Stamp, Store};

/// A folder of its own, gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("evenkeel-snapshot-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary folder");
        Folder(path)
    }

    fn state(&self) -> PathBuf {
        self.0.join("state")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn found(path: &Path) -> Option<(Stamp, Vec<u8>)> {
    let mut buffer = [0; 100];
    let record = FileStore::open(path, 99).expect("sound files").load(&mut buffer).expect("a buffer that suffices");
    record.map(|r| (r.stamp, r.state.to_vec()))
}

#[test]
fn the_newest_state_is_found() {
    let folder = Folder::new("newest");
    let path = folder.state();
    assert_eq!(found(&path), None);
    for boot in 1..4 {
        let mut store = FileStore::open(&path, 40 + boot).unwrap();
        for i in 1..4 {
            let state = [boot as u8, i as u8];
            let stamp = store.save(&state).unwrap().stamp();
            assert_eq!(stamp, Stamp { incarnation: 41, boot, seq: 3 * (boot - 1) + i });
            assert_eq!(store.load(&mut [0; 2]).unwrap().unwrap().state, state);
            assert!(matches!(store.load(&mut [0; 1]).unwrap_err().fault, FileFault::Buffer { needed: 2, given: 1 }));
        }
    }
    let mut store = FileStore::open(&path, 0).unwrap();
    store.renew(50);
    assert_eq!(store.save(&[]).unwrap().stamp(), Stamp { incarnation: 50, boot: 4, seq: 10 });
    // What a save left that was cut short is overwritten.
    fs::write(folder.0.join("state.new"), b"half a rec").unwrap();
    assert_eq!(store.save(b"x").unwrap().stamp().seq, 11);
}

#[test]
fn damage_is_named_with_its_file() {
    let folder = Folder::new("damage");
    let path = folder.state();
    let mut store = FileStore::open(&path, 1).unwrap();
    for n in 0..3 {
        store.save(&[n; 9]).unwrap();
    }
    drop(store);
    let (even, odd) = (folder.0.join("state.0"), folder.0.join("state.1"));
    for file in [&even, &odd] {
        let sound = fs::read(file).unwrap();
        let refused = |bytes: Option<&[u8]>| {
            bytes.map_or_else(|| fs::remove_file(file), |bytes| fs::write(file, bytes)).unwrap();
            let error = FileStore::open(&path, 1).map(|_| ()).unwrap_err();
            assert_eq!(&error.path, file);
            assert!(error.to_string().contains("remove"), "{error}");
            error.fault
        };
        for bit in 0..8 * sound.len() {
            let mut changed = sound.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(refused(Some(&changed)), FileFault::Damaged(_)));
        }
        for len in 0..sound.len() {
            assert!(matches!(refused(Some(&sound[..len])), FileFault::Damaged(_)));
        }
        assert!(matches!(refused(None), FileFault::Missing));
        fs::write(file, sound).unwrap();
    }
    // One file in the other's place.
    let sound = fs::read(&even).unwrap();
    fs::copy(&odd, &even).unwrap();
    assert!(matches!(FileStore::open(&path, 1).unwrap_err().fault, FileFault::Damaged(_)));
    fs::write(&even, sound).unwrap();
    assert_eq!(found(&path).unwrap().1, [2; 9]);
}

#[test]
fn two_processes_do_not_share_a_store() {
    let folder = Folder::new("lock");
    let first = FileStore::open(&folder.state(), 1).unwrap();
    let error = FileStore::open(&folder.state(), 1).unwrap_err();
    assert!(matches!(error.fault, FileFault::InUse), "{error}");
    drop(first);
    FileStore::open(&folder.state(), 1).unwrap();
}

/// Set for the process that is killed: where it keeps its state.
const VICTIM: &str = "EVENKEEL_TEST_VICTIM";

#[test]
fn a_killed_process_loses_nothing_that_was_kept() {
    if let Some(path) = std::env::var_os(VICTIM) {
        let mut store = FileStore::open(Path::new(&path), 1).unwrap();
        let mut buffer = [0; 8];
        let n = store.load(&mut buffer).unwrap().map_or(0, |r| u64::from_le_bytes(r.state.try_into().unwrap()));
        for n in n + 1.. {
            let seq = store.save(&u64::to_le_bytes(n)).unwrap().stamp().seq;
            println!("\nkept {n} {seq}");
        }
    }
    let folder = Folder::new("kill");
    let (mut kept, mut published) = (0, 0);
    for round in 0..40 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "files::a_killed_process_loses_nothing_that_was_kept", "--nocapture"])
            .env(VICTIM, folder.state())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let report = |line: String| {
            let (n, seq) = line.strip_prefix("kept ")?.split_once(' ')?;
            Some((n.parse::<u64>().ok()?, seq.parse::<u32>().ok()?))
        };
        let mut hear = |(n, seq)| {
            assert!(n > kept && seq > published, "{n} after {kept}, number {seq} after {published}");
            (kept, published) = (n, seq);
        };
        lines.by_ref().filter_map(report).take(1 + round % 5).for_each(&mut hear);
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it was killed.
        lines.filter_map(report).for_each(&mut hear);
        let (stamp, state) = found(&folder.state()).unwrap();
        let n = u64::from_le_bytes(state.try_into().unwrap());
        assert!((kept..=kept + 1).contains(&n) && (published..=published + 1).contains(&stamp.seq));
    }
}
