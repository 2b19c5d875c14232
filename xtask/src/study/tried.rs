//! How the default was chosen, in words: part of it are runs that are no cells of the study.

/// The section under its headline. Update it when another default is chosen.
pub const TRIED: &str = "\
Candidates were compared on selection rows, at 25 % of the MACs. All have `ceag` and `average`. The table has the worst group
and overall, in percent, seed by seed. *Floor* is the share of its evenly thinned width that every layer keeps where channels
are chosen over all layers; at 1, the widths are those of even thinning, and taylor or blend only ranks the channels within
each layer. Blend ranks them by the geometric mean of taylor and magnitude.

| channels by | floor | motionsense, seeds 0 to 4 | mitbih, seeds 0 to 4 | fairface32, seeds 0 and 1 |
| --- | --- | --- | --- | --- |
| **taylor** (the default) | 0.75 | 76.3 / 83.3, 84.0 / 88.1, 80.3 / 84.0, 81.2 / 85.4, 80.0 / 85.3 | 33.5 / 41.2, 29.5 / 41.5, 40.2 / 44.1, 36.0 / 45.2, 30.1 / 39.8 | 65.1 / 72.9, 68.3 / 74.7 |
| blend | 0.75 | 81.6 / 86.9, 81.6 / 85.7, 81.5 / 85.3, 77.7 / 83.1, 83.0 / 86.5 | 34.3 / 43.4, 41.9 / 48.5, 30.4 / 40.5, 32.2 / 41.2, 31.7 / 38.8 | 69.2 / 76.6, 65.3 / 72.7 |
| taylor | 1 | – | – | 64.9 / 70.8, – |
| blend | 1 | 77.2 / 83.3, 80.3 / 84.5, –, –, – | – | – |
| magnitude, without `ceag` and `average` | – | 76.7 / 82.4, 74.0 / 79.9, 74.1 / 81.5, 78.0 / 82.0, 73.4 / 80.9 | 38.4 / 44.7, 29.6 / 43.5, 28.8 / 41.6, 36.4 / 45.0, 31.5 / 42.8 | 70.5 / 75.7, 69.2 / 76.4 |

- On faces taylor does worse than magnitude, on the one seed tried at the widths of even thinning as well. So it seems to be
  the ranking within layers that costs accuracy there, not the widths. That is why blend was tried.
- The means of blend are 0.3 to 0.7 points higher than those of taylor in the worst group on all three data sets, but seeds go
  both ways on each, so nothing tells the two apart. The default stays what it was. The verdict split had been seen by the
  time of that decision; there the means of blend are lower on motionsense and mitbih, and not told apart either.
- On faces no candidate reached magnitude on both seeds.
- A floor of 0.9, and fairgrape or magnitude with `ceag` and `average`, were not run. A floor of 0.4 of the dense width,
  distillation, mixed rows, scores kept apart by group and faster multipliers had shown no gain, or none on more than one
  seed.

";
