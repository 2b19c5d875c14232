//! The model is monotone, and what it says pays does.

use super::*;

fn layers() -> Vec<Layer> {
    let window = |kernel, stride| Window { kernel, stride, dilation: [1, 1], pad: [0; 4] };
    vec![
        Layer::conv(&window([1, 1], [1, 1]), Shape::new(64, 25, 5), Shape::new(64, 25, 5)),
        Layer::conv(&window([3, 3], [2, 2]), Shape::new(16, 33, 33), Shape::new(32, 16, 16)),
        Layer::linear(640, 128),
    ]
}

#[test]
fn fewer_tiles_cost_less() {
    for target in Target::ALL.into_iter().filter(|t| *t != Target::Portable) {
        for layer in layers() {
            let at = |share: f64| cost(target, &layer, Stored::Blocks(share)).expect("a model");
            assert!(at(0.25) < at(0.5) && at(0.5) < at(1.0), "{target} {layer:?}");
            let most = break_even(target, &layer).expect("a model");
            assert!((0.1..1.0).contains(&most), "{target} {layer:?} {most}");
            let dense = cost(target, &layer, Stored::Dense).expect("a model");
            assert!((at(most) - dense).abs() < 1e-6 * dense);
            assert!(pays(target, &layer, most - 0.01) && !pays(target, &layer, most + 0.01));
        }
    }
}

#[test]
fn the_portable_target_has_no_model() {
    assert!(layers().iter().all(|l| break_even(Target::Portable, l).is_none() && !pays(Target::Portable, l, 0.01)));
}

#[test]
fn convolutions_are_matrices() {
    let [pointwise, strided, linear] = layers()[..] else { unreachable!() };
    assert_eq!((pointwise.taps, pointwise.runs, pointwise.macs()), (64, 0, 64 * 64 * 125));
    assert_eq!((strided.taps, strided.runs, strided.pixels), (144, 3, Some(256)));
    assert_eq!((linear.code(), linear.macs()), (op::LINEAR, 640 * 128));
}
