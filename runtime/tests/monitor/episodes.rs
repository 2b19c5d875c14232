//! Episodes: one event each, of a frame that is drawn evenly; and predictions too close to the last.

use evenkeel_runtime::Error;
use evenkeel_runtime::monitor::{Full, Monitor, Prediction, Source, words};

use crate::{Plan, STEPS};

#[test]
fn an_episode_is_one_event_and_draws_each_of_its_frames_equally_often() {
    let plan = Plan::new(1, 0.9, 0.02, 1000.0);
    let episodes = STEPS as u32 / 20;
    for frames in [1, 2, 3, 5, 16] {
        let mut state = vec![0; words::<Full>(1, 4)];
        let mut watch: Monitor<Full> = plan.monitor(&mut state, 4);
        for _ in 0..episodes {
            let mut episode = watch.begin_episode(Some(0)).expect("a group");
            // Every frame falls into a bin of its own.
            (0..frames).for_each(|i| episode.observe(Prediction { class: 7, margin: 16 * i }));
            assert_eq!(episode.frames(), frames as u32);
            let ticket = watch.end_episode(episode).expect("a group").expect("it has frames");
            watch.label(ticket, 7, Source::Reference).expect("in time");
        }
        let cell = watch.cells()[0];
        assert_eq!((cell.counts.n, cell.traffic.predictions()), (episodes, episodes));
        let (drawn, mean) = (&cell.traffic.confidence[..frames as usize], episodes as f64 / frames as f64);
        assert_eq!(drawn.iter().sum::<u32>(), episodes);
        let chi2: f64 = drawn.iter().map(|&n| (n as f64 - mean).powi(2) / mean).sum();
        // Five standard deviations above the mean of a chi-square.
        let freedom = frames as f64 - 1.0;
        assert!(cfg!(miri) || chi2 <= freedom + 5.0 * (2.0 * freedom).sqrt(), "{frames} frames: {drawn:?}");
    }
}

#[test]
fn an_episode_without_frames_is_no_event_and_one_of_nobodys_group_is_refused() {
    let plan = Plan::new(1, 0.9, 0.02, 1000.0);
    let mut state = vec![0; words::<Full>(1, 4)];
    let mut watch: Monitor<Full> = plan.monitor(&mut state, 4);
    let episode = watch.begin_episode(Some(0)).expect("a group");
    assert_eq!(watch.end_episode(episode), Ok(None));
    assert_eq!(watch.begin_episode(Some(1)).err(), Some(Error::NoSuchGroup { group: 1, groups: 1 }));
    let mut episode = watch.begin_episode(None).expect("the unknown group");
    episode.observe(Prediction::default());
    assert!(watch.end_episode(episode).expect("the unknown group").is_some());
    assert_eq!((watch.common().next, watch.common().unknown_predictions), (1, 1));
}

#[test]
fn predictions_too_close_to_the_last_of_their_group_do_not_count() {
    let plan = Plan::new(2, 0.9, 0.02, 1000.0);
    let mut state = vec![0; words::<Full>(2, 4)];
    let mut watch: Monitor<Full> = plan.monitor(&mut state, 4);
    let mut at = |tick: u32, group: Option<usize>| {
        watch.predict_at(tick, 10, group, Prediction::default()).expect("a group").is_some()
    };
    let start = u32::MAX - 12;
    assert!(at(start, Some(0)));
    assert!(!at(start + 9, Some(0)), "less than the distance");
    assert!(at(start + 10, Some(0)), "the distance is from the last that counted");
    assert!(!at(start.wrapping_add(19), Some(0)), "the clock began anew");
    assert!(at(start.wrapping_add(19), Some(1)), "another group is another event");
    assert!(at(start.wrapping_add(20), None), "and so is somebody whose group nobody knows");
    assert!(!at(start.wrapping_add(21), None));
    assert!(at(start.wrapping_add(30), None));
    assert_eq!((watch.common().crowded, watch.common().next, watch.common().unknown_predictions), (3, 5, 2));
    assert_eq!(watch.cells().iter().map(|cell| cell.traffic.predictions()).collect::<Vec<_>>(), [2, 1]);
    assert!(watch.predict_at(0, 10, Some(2), Prediction::default()).is_err());
}
