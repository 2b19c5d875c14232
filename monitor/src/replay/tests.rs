//! Replays of devices that are honest, and of some that are not.

use super::*;
use crate::collect::audit;
use crate::collect::tests::{Stream, device, parts};

fn terms(arl: f64) -> Terms {
    let (head, floors, field, groups) = parts(arl);
    Terms::new(head, &floors, Some((field, &groups))).expect("sound")
}

fn replayed(snapshots: &[Snapshot], arl: f64) -> Replay {
    let history = audit(snapshots.iter().cloned()).pop().expect("one device");
    replay(&history, &terms(arl)).expect("its terms")
}

#[test]
fn an_honest_healthy_device_is_clean_and_quiet() {
    for seed in 0..20 {
        for every in [1, 7, 50, 400] {
            let found = replayed(&device(seed, 3000, Stream { every, ..Default::default() }), 10_000.0);
            assert!(found.is_clean() && found.alarms.is_empty(), "{seed} {every}: {found:?}");
        }
    }
}

#[test]
fn alarms_of_an_honest_device_are_all_possible_and_later_confirmed() {
    let (mut reported, mut confirmed) = (0, 0);
    for seed in 0..20 {
        for every in [1, 20, 100, 1000] {
            let stream = Stream { later: 0.6, every, arl: 1000.0, ..Default::default() };
            let found = replayed(&device(seed, 4000, stream), 1000.0);
            assert!(found.is_clean(), "{seed} {every}: {found:?}");
            assert!(found.alarms.iter().any(|a| a.kind == Kind::Floor && a.group == 2 && a.reported.is_some()));
            assert!(found.alarms.iter().filter(|a| a.standing != Standing::HostOnly).all(|a| a.group == 2));
            reported += found.alarms.iter().filter(|a| a.reported.is_some()).count();
            confirmed += found.alarms.iter().filter(|a| a.standing == Standing::Confirmed).count();
        }
    }
    assert!(confirmed * 10 > reported * 6, "{confirmed} of {reported}");
}

#[test]
fn what_only_the_host_tests_is_found() {
    let kinds = |stream| -> Vec<(Kind, usize)> {
        replayed(&device(3, 6000, stream), 1000.0).alarms.iter().map(|a| (a.kind, a.group)).collect()
    };
    let base = Stream { arl: 1000.0, ..Default::default() };
    assert!(kinds(Stream { disagree: 0.2, ..base }).contains(&(Kind::Agreement, 2)));
    assert!(kinds(Stream { margin: 100, ..base }).contains(&(Kind::LessConfident, 2)));
    assert!(kinds(Stream { margin: 255, ..base }).contains(&(Kind::MoreConfident, 2)));
    let tested = |k: &(Kind, usize)| matches!(k.0, Kind::Floor | Kind::Gap);
    assert!(kinds(base).iter().all(tested));
}

#[test]
fn a_lying_device_is_found_out() {
    let stream = Stream { later: 0.6, every: 20, arl: 1000.0, ..Default::default() };
    let honest = device(5, 4000, stream);
    let rang = honest.iter().position(|s| s.common.floor_alarms != [0, 0]).expect("it rings");

    // Hides the alarm.
    let mut silent = honest.clone();
    for s in &mut silent[rang..] {
        s.common.floor_alarms = [0, 0];
        s.common.alarms = s.common.alarms.map(|r| if r.kind == 1 { AlarmRecord::default() } else { r });
    }
    let found = replayed(&silent, 1000.0);
    assert!(found.alarms.iter().any(|a| a.kind == Kind::Floor && a.standing == Standing::Missing), "{found:?}");

    // Rings without cause.
    let mut loud = device(5, 400, Stream { every: 20, ..Default::default() });
    for s in &mut loud[3..] {
        s.common.floor_alarms = [1, 0];
    }
    let found = replayed(&loud, 10_000.0);
    let impossible = |a: &&Alarm| (a.group, a.standing) == (0, Standing::Impossible);
    assert_eq!(found.alarms.iter().filter(impossible).count(), 1);

    // Evidence that its outcomes do not give, either way; a wealth that it did not earn.
    let faults = |change: &dyn Fn(&mut Cell)| {
        let mut forged = device(5, 400, Stream { every: 20, ..Default::default() });
        change(&mut forged[6].cells[1]);
        replayed(&forged, 10_000.0).faults
    };
    assert!(!faults(&|c| c.floor.as_mut().expect("full").evidence[0] += 100_000).is_empty());
    assert!(!faults(&|c| c.floor.as_mut().expect("full").evidence = [0; 6]).is_empty());
    assert!(!faults(&|c| c.gap.as_mut().expect("full").evidence[5] += 1_000_000).is_empty());
    assert!(!faults(&|c| c.gap.as_mut().expect("full").exponent[2] += 20).is_empty());
    assert!(faults(&|_| ()).is_empty());
}

#[test]
fn other_terms_are_refused() {
    let history = audit(device(1, 100, Stream::default())).pop().expect("one");
    let mut other = terms(10_000.0);
    other.config ^= 1;
    assert!(replay(&history, &other).expect_err("not its terms").contains("configuration"));
}
