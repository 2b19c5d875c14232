//! The monitor in the field as a user tries it: streams, snapshots, and what is read from them alone.

mod common;

use common::Desk;
use serde_json::Value;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A pruned file, the fleet's key, and some devices whose ankle sensor goes bad in the middle.
fn streamed(devices: usize) -> (Desk, Value) {
    let desk = Desk::with_network();
    desk.run(
        "prune model.onnx --data set.npz --contract contract.toml -o small.keel --steps 2 --tune 4 --recover 40 --seed 3",
    );
    desk.write("fleet.key", format!("{KEY}\n").as_bytes());
    let said = desk.json(&format!(
        "monitor simulate small.keel --data set.npz --events 4000 --degrade site=ankle --from 2000 --strength 1 --seeds {devices} \
         --snapshots outbox --key fleet.key --every 100 -o evidence.html",
    ));
    (desk, said)
}

#[test]
fn the_group_that_breaks_is_named_and_replay_says_so_from_snapshots_alone() {
    let (desk, said) = streamed(12);
    let streams = said["streams"].as_array().expect("streams");
    assert_eq!(streams.len(), 12);
    for stream in streams {
        assert_eq!((&stream["early"], &stream["other_groups"]), (&Value::from(0), &Value::from(0)), "{stream}");
        assert!(stream["delay"].as_u64().is_some_and(|d| d > 0), "{stream}");
    }
    let page = String::from_utf8(desk.read("evidence.html")).expect("text");
    assert!(page.contains("An alarm rang for site=ankle, and for no other group."));

    let replayed = desk.json("monitor replay outbox --model small.keel --key fleet.key");
    let devices = replayed.as_array().expect("devices");
    assert_eq!(devices.len(), 12);
    for device in devices {
        let alarms = device["alarms"].as_array().expect("alarms");
        assert!(alarms.iter().any(|a| a["kind"] == "below its floor" && a["standing"] == "confirmed"), "{device}");
        assert!(alarms.iter().all(|a| a["group"] == "site=ankle"), "{device}");
    }
}

#[test]
fn snapshots_that_somebody_made_or_changed_are_refused_by_name() {
    let (desk, _) = streamed(1);
    let outbox = desk.path("outbox");
    let mut names: Vec<_> = std::fs::read_dir(&outbox).expect("a folder").flatten().map(|e| e.path()).collect();
    names.retain(|p| p.extension().is_some_and(|e| e == "eks"));
    names.sort();
    let bytes = std::fs::read(&names[3]).expect("a snapshot");
    desk.run("monitor enrol --key fleet.key --device 7 -o device.key");
    assert_eq!(String::from_utf8(desk.read("device.key")).expect("digits").trim().len(), 128);
    desk.refused("monitor enrol --key fleet.key --device 8 -o device.key", &["device.key", "never overwritten"]);

    let decode = "monitor decode bad.eks --model small.keel --key fleet.key";
    // Each file has its answer, so a refusal stands among them, and the end says that there was one.
    let refused = |word: &str| {
        let (said, complained) = desk.ends(2, decode);
        assert!(said.contains("bad.eks") && said.contains(word) && !complained.is_empty(), "{said}\n{complained}");
    };
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 4;
    desk.write("bad.eks", &flipped);
    refused("damaged");
    desk.write("bad.eks", &bytes[..bytes.len() - 5]);
    refused("cut");
    desk.write("bad.eks", &bytes);
    desk.run(decode);
    desk.write("fleet.key", format!("{}\n", KEY.replace("00", "01")).as_bytes());
    refused("forged");
    desk.write("fleet.key", b"short");
    desk.refused(decode, &["fleet.key", "64 hexadecimal digits"]);
}
