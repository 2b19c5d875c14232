//! A plot of points over two shares, as SVG in the page's own markup.

use super::plot::{tick_text, ticks};
use maud::{Markup, html};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 44.0;

/// A point of a [`scatter`] plot.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub x: f64,
    pub y: f64,
    /// How it is drawn: `faint`, `front` or `picked`.
    pub class: &'static str,
    /// Tooltip.
    pub title: String,
}

/// A range with a little room, never of zero width.
fn range(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let finite = values.filter(|v| v.is_finite()).map(|v| v.clamp(-100.0, 100.0));
    let (lo, hi) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    let (lo, hi) = if lo <= hi { (lo, hi) } else { (0.0, 1.0) };
    let room = ((hi - lo) * 0.06).max(0.005);
    [lo - room, hi + room]
}

/// Points over two shares, shown in per cent: the axes are named, points of the front are joined in the order of x, and
/// `limit` draws a labelled horizontal line.
pub(super) fn scatter(name: &str, [x, y]: [&str; 2], points: &[Point], limit: Option<(f64, &str)>) -> Markup {
    let (across, up) = (range(points.iter().map(|p| p.x)), range(points.iter().map(|p| p.y).chain(limit.map(|l| l.0))));
    let part = |[lo, hi]: [f64; 2], v: f64| if v.is_nan() { 0.0 } else { ((v - lo) / (hi - lo)).clamp(0.0, 1.0) };
    let at_x = |v: f64| format!("{:.1}", LEFT + part(across, v) * (WIDTH - LEFT - RIGHT));
    let at_y = |v: f64| format!("{:.1}", TOP + (1.0 - part(up, v)) * (HEIGHT - TOP - BOTTOM));
    let (ticks_x, ticks_y) = (ticks(across[0], across[1], 8.0), ticks(up[0], up[1], 5.0));
    let (floor, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    html! {
        svg role="img" aria-label=(name) viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } {
            title { (name) }
            @for v in &ticks_x {
                line class="grid" x1=(at_x(*v)) x2=(at_x(*v)) y1=(TOP) y2=(floor) {}
                text class="tick" x=(at_x(*v)) y=(floor + 16.0) text-anchor="middle" { (tick_text(*v, &ticks_x)) }
            }
            @for v in &ticks_y {
                line class="grid" x1=(LEFT) x2=(right) y1=(at_y(*v)) y2=(at_y(*v)) {}
                text class="tick" x=(LEFT - 8.0) y=(at_y(*v)) dy="4" text-anchor="end" { (tick_text(*v, &ticks_y)) }
            }
            text class="tick" x=((LEFT + right) / 2.0) y=(HEIGHT - 8.0) text-anchor="middle" { (x) }
            text class="tick" x=(LEFT) y=(TOP - 5.0) { (y) }
            @if let Some((v, text)) = limit {
                line class="limit" x1=(LEFT) x2=(right) y1=(at_y(v)) y2=(at_y(v)) {}
                text class="limit" x=(right) y=(at_y(v)) dy="-4" text-anchor="end" { (text) }
            }
            @for class in ["faint", "front", "picked"] {
                @for p in points.iter().filter(|p| p.class == class) {
                    g { title { (p.title) } circle class=(class) cx=(at_x(p.x)) cy=(at_y(p.y)) r=(if class == "picked" { "7" } else { "4" }) {} }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Any values give a drawing without NaN or infinity and with escaped texts.
        #[test]
        fn any_points_can_be_drawn(values in prop::collection::vec((prop::num::f64::ANY, prop::num::f64::ANY), 0..6)) {
            let point = |&(x, y): &(f64, f64)| Point { x, y, class: "front", title: "<t>".into() };
            let points: Vec<Point> = values.iter().map(point).collect();
            let svg = scatter("<n>", ["<x>", "<y>"], &points, Some((0.02, "<l>"))).into_string();
            let bad = ["NaN", "inf", "<t>", "<n>", "<x>", "<l>"];
            prop_assert!(bad.iter().all(|b| !svg.contains(b)), "{}", svg);
            prop_assert_eq!(svg.matches("<circle").count(), points.len());
        }
    }
}
