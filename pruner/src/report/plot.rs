//! Plots as SVG: dots with intervals, bars, lines; see [`super::charts`] for those of the verdict.
//!
//! Drawn with the page's own markup instead of a plotting library: the marks take their colours from the page's style
//! (`s0`, `s1`, … and the theme's variables), carry a tooltip each, and need no font to be measured.

use maud::{Markup, html};

pub(super) const WIDTH: f64 = 760.0;
pub(super) const LABELS: f64 = 230.0;
const RIGHT: f64 = 20.0;
pub(super) const TOP: f64 = 8.0;
pub(super) const AXIS: f64 = 26.0;

/// One mark of a [`dots`] plot.
#[derive(Clone, Debug)]
pub struct Dot {
    /// Series, which sets colour and shape.
    pub series: usize,
    /// Where it stands.
    pub value: f64,
    /// Its interval; an end that is not finite runs to the edge of the plot.
    pub interval: Option<[f64; 2]>,
    /// Tooltip.
    pub title: String,
}

/// A horizontal scale from values to x.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    lo: f64,
    hi: f64,
    left: f64,
    right: f64,
}

impl Scale {
    /// Covers the values with a little room, between `left` and `right`; never of zero width.
    pub(super) fn over(values: impl Iterator<Item = f64>, left: f64, right: f64) -> Scale {
        // Shares and their differences are small numbers; whatever else comes must not break the drawing.
        let finite = values.filter(|v| v.is_finite()).map(|v| v.clamp(-100.0, 100.0));
        let (lo, hi) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let (lo, hi) = if lo <= hi { (lo, hi) } else { (0.0, 1.0) };
        let room = ((hi - lo) * 0.05).max(0.005);
        Scale { lo: lo - room, hi: hi + room, left, right }
    }

    /// Covers the dots and `lines`, and of the intervals as much as leaves the dots apart: intervals much wider than
    /// what lies between the dots run to the edge.
    pub(super) fn around<'d>(
        dots: impl Iterator<Item = &'d Dot> + Clone,
        lines: &[f64],
        left: f64,
        right: f64,
    ) -> Scale {
        let fixed = || dots.clone().map(|d| d.value).chain(lines.iter().copied()).filter(|v| v.is_finite());
        let (lo, hi) = fixed().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let room = ((hi - lo) * 0.6).max(0.04);
        let ends = dots.clone().filter_map(|d| d.interval).flatten().filter(|v| v.is_finite());
        Scale::over(fixed().chain(ends.map(|v| v.clamp(lo - room, hi + room))), left, right)
    }

    pub(super) fn at(&self, v: f64) -> f64 {
        let share = ((v - self.lo) / (self.hi - self.lo)).clamp(0.0, 1.0);
        self.left + share * (self.right - self.left)
    }

    fn shows(&self, v: f64) -> bool {
        (self.lo..=self.hi).contains(&v)
    }
}

/// Round values inside `[lo, hi]`, about `n` of them.
pub(super) fn ticks(lo: f64, hi: f64, n: f64) -> Vec<f64> {
    let raw = (hi - lo) / n;
    let base = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].iter().map(|m| m * base).find(|s| *s >= raw).unwrap_or(raw);
    let first = (lo / step).ceil() as i64;
    (first..=first.saturating_add(50)).map(|k| k as f64 * step).take_while(|v| *v <= hi + step * 1e-9).collect()
}

/// A tick in `unit` (`%` or points), with as many decimals as the step between ticks needs.
pub(super) fn tick_text(v: f64, all: &[f64]) -> String {
    let step = all.windows(2).next().map_or(1.0, |w| 100.0 * (w[1] - w[0]));
    let v = 100.0 * v + 0.0;
    if (step - step.round()).abs() < 1e-6 { format!("{v:.0}") } else { format!("{v:.1}") }
}

pub(super) fn axis(scale: &Scale, bottom: f64, unit: &str) -> Markup {
    let all = ticks(scale.lo, scale.hi, 6.0);
    html! {
        @for v in &all {
            line class="grid" x1=(n(scale.at(*v))) x2=(n(scale.at(*v))) y1=(TOP) y2=(n(bottom)) {}
            text class="tick" x=(n(scale.at(*v))) y=(n(bottom + 16.0)) text-anchor="middle" { (tick_text(*v, &all)) (unit) }
        }
    }
}

/// A coordinate with one decimal, to keep the page small.
pub(super) fn n(v: f64) -> String {
    format!("{v:.1}")
}

/// A drawing with its name and, for who cannot see it, what it shows.
pub(super) fn frame(name: &str, says: &str, height: f64, body: Markup) -> Markup {
    html! {
        svg role="img" aria-label={ (name) @if !says.is_empty() { ". " (says) } } viewBox={ "0 0 " (WIDTH) " " (n(height)) } {
            title { (name) }
            @if !says.is_empty() { desc { (says) } }
            (body)
        }
    }
}

pub(super) fn mark(series: usize, x: f64, y: f64) -> Markup {
    let d = format!("M{} {}l5 5l-5 5l-5 -5z", n(x), n(y - 5.0));
    html! {
        @match series {
            0 => circle class="s0 open" cx=(n(x)) cy=(n(y)) r="4" {},
            1 => path class="s1" d=(d) {},
            _ => circle class="s2" cx=(n(x)) cy=(n(y)) r="4.5" {},
        }
    }
}

/// Rows of dots with intervals. `line` draws a labelled vertical line; values are shares, shown in `unit` after a
/// factor of 100.
pub fn dots(name: &str, rows: &[(String, Vec<Dot>)], line: Option<(f64, &str)>, unit: &str) -> Markup {
    let lanes = rows.iter().map(|r| r.1.len()).max().unwrap_or(1).max(1) as f64;
    let height = 14.0 + lanes * 12.0;
    let drawn = rows.iter().flat_map(|r| &r.1);
    let scale = Scale::around(drawn, &line.map(|l| l.0).into_iter().collect::<Vec<_>>(), LABELS, WIDTH - RIGHT);
    let top = TOP + if line.is_some() { 16.0 } else { 0.0 };
    let bottom = top + rows.len() as f64 * height;
    frame(
        name,
        "",
        bottom + AXIS,
        html! {
            (axis(&scale, bottom, unit))
            @for (k, (label, dots)) in rows.iter().enumerate() {
                @let y = top + k as f64 * height;
                @if k % 2 == 1 { rect class="band" x="0" y=(n(y)) width=(WIDTH) height=(n(height)) {} }
                text class="label" x=(LABELS - 12.0) y=(n(y + height / 2.0 + 4.0)) text-anchor="end" { (short(label)) title { (label) } }
                @for (i, d) in dots.iter().enumerate() {
                    @let y = y + height / 2.0 + (i as f64 - (dots.len() as f64 - 1.0) / 2.0) * 12.0;
                    (dot(d, &scale, y))
                }
            }
            @if let Some((v, text)) = line {
                line class="limit" x1=(n(scale.at(v))) x2=(n(scale.at(v))) y1=(TOP + 8.0) y2=(n(bottom)) {}
                text class="limit" x=(n(scale.at(v))) y=(TOP + 4.0) text-anchor="middle" { (text) }
            }
        },
    )
}

/// A mark with its interval; an end outside the plot has no cap.
pub(super) fn dot(d: &Dot, scale: &Scale, y: f64) -> Markup {
    html! {
        g {
            title { (d.title) }
            @if let Some([lo, hi]) = d.interval {
                line class={ "bar s" (d.series) } x1=(n(scale.at(lo))) x2=(n(scale.at(hi))) y1=(n(y)) y2=(n(y)) {}
                @for end in [lo, hi] {
                    @if scale.shows(end) {
                        @let x = scale.at(end);
                        line class={ "bar s" (d.series) } x1=(n(x)) x2=(n(x)) y1=(n(y - 3.0)) y2=(n(y + 3.0)) {}
                    }
                }
            }
            (mark(d.series, scale.at(d.value), y))
        }
    }
}

/// Labels that fit beside the plot; the whole label is the tooltip.
pub(super) fn short(label: &str) -> String {
    if label.chars().count() <= 31 {
        return label.to_owned();
    }
    label.chars().take(30).chain(['…']).collect()
}

/// A bar per row: the outline is `before`, the filled part `after`.
pub fn bars(name: &str, rows: &[(String, usize, usize)]) -> Markup {
    const HEIGHT: f64 = 22.0;
    let most = rows.iter().map(|r| r.1.max(r.2)).max().unwrap_or(1).max(1) as f64;
    let width = WIDTH - RIGHT - LABELS - 90.0;
    frame(
        name,
        "",
        TOP * 2.0 + rows.len() as f64 * HEIGHT,
        html! {
            @for (k, (label, before, after)) in rows.iter().enumerate() {
                @let y = TOP + k as f64 * HEIGHT;
                @let length = |v: usize| n(v as f64 / most * width);
                g {
                    title { (label) ": " (before) " → " (after) }
                    text class="label" x=(LABELS - 12.0) y=(n(y + 15.0)) text-anchor="end" { (short(label)) }
                    rect class="before" x=(LABELS) y=(n(y + 3.0)) width=(length(*before)) height=(HEIGHT - 6.0) {}
                    rect class="s2" x=(LABELS) y=(n(y + 3.0)) width=(length(*after)) height=(HEIGHT - 6.0) {}
                    text class="tick" x=(n(LABELS + (*before).max(*after) as f64 / most * width + 8.0)) y=(n(y + 15.0)) {
                        (before) " → " (after)
                    }
                }
            }
        },
    )
}

/// Lines over steps. Each series has a name and a value per step; `steps` gives each step's tooltip. Values are shares.
pub fn lines(name: &str, steps: &[String], series: &[(&str, Vec<f64>)]) -> Markup {
    const LEFT: f64 = 52.0;
    const HEIGHT: f64 = 240.0;
    let scale = Scale::over(series.iter().flat_map(|s| s.1.iter().copied()), 0.0, WIDTH - RIGHT);
    let bottom = TOP + HEIGHT;
    let y = |v: f64| bottom - ((v - scale.lo) / (scale.hi - scale.lo)).clamp(0.0, 1.0) * HEIGHT;
    let last = steps.len().saturating_sub(1).max(1) as f64;
    let x = |k: usize| LEFT + k as f64 / last * (WIDTH - RIGHT - LEFT);
    let all = ticks(scale.lo, scale.hi, 5.0);
    // Some ten step numbers fit under the axis.
    let every = steps.len().div_ceil(12).max(1);
    frame(
        name,
        "",
        bottom + AXIS,
        html! {
            @for v in &all {
                line class="grid" x1=(LEFT) x2=(WIDTH - RIGHT) y1=(n(y(*v))) y2=(n(y(*v))) {}
                text class="tick" x=(LEFT - 8.0) y=(n(y(*v) + 4.0)) text-anchor="end" { (tick_text(*v, &all)) " %" }
            }
            @for k in (0..steps.len()).step_by(every) {
                text class="tick" x=(n(x(k))) y=(n(bottom + 18.0)) text-anchor="middle" { (k) }
            }
            @for (s, (_, values)) in series.iter().enumerate() {
                @let points: Vec<String> = values.iter().enumerate().filter(|(_, v)| v.is_finite())
                    .map(|(k, v)| format!("{},{}", n(x(k)), n(y(*v)))).collect();
                polyline class={ "line s" (s) } points=(points.join(" ")) {}
                @for (k, v) in values.iter().enumerate().filter(|(_, v)| v.is_finite()) {
                    g { title { (steps.get(k).map_or("", String::as_str)) } (mark(s, x(k), y(*v))) }
                }
            }
        },
    )
}

/// Legend of the series names; each has the number of its series.
pub fn legend(names: &[(usize, &str)]) -> Markup {
    html! {
        p.legend {
            @for (s, name) in names {
                span { svg viewBox="0 0 14 14" class="key" aria-hidden="true" { (mark(*s, 7.0, 7.0)) } (name) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ticks_are_round() {
        let show = |lo, hi| ticks(lo, hi, 5.0).iter().map(|v| format!("{v:.3}")).collect::<Vec<_>>();
        assert_eq!(show(0.0, 1.0), ["0.000", "0.200", "0.400", "0.600", "0.800", "1.000"]);
        assert_eq!(show(-0.011, 0.032), ["-0.010", "0.000", "0.010", "0.020", "0.030"]);
    }

    proptest! {
        /// Any values, also infinite ones, give a drawing without NaN or infinity and with escaped labels.
        #[test]
        fn any_values_can_be_drawn(values in prop::collection::vec(prop::num::f64::ANY, 0..6)) {
            let dot = |v: &f64| Dot { series: 0, value: *v, interval: Some([*v, f64::INFINITY]), title: "<t>".into() };
            let rows = vec![("<a>&".to_owned(), values.iter().filter(|v| !v.is_nan()).map(dot).collect())];
            let svg = dots("d", &rows, Some((0.02, "limit")), " %").into_string()
                + &lines("l", &["s".into()], &[("x", values.clone())]).into_string();
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf") && !svg.contains("<a>") && !svg.contains("<t>"), "{}", svg);
        }
    }
}
