//! The parts that methods are sums of: a table, as `evenkeel methods` prints it.

use super::score::Scorer;
use super::select::Policy;
use super::terms::distil::Teaches;
use super::terms::hints::Hint;
use serde::Serialize;

/// The method that is used where none is named.
pub const DEFAULT: &str = "blend+ckd+lift+average";

/// What a part of a method does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Says which channels go; a method has one, magnitude where it names none.
    Score(Scorer, Policy),
    /// Makes the small network like the dense one.
    Distil(Teaches),
    /// Makes its activations like the dense one's.
    Hint(Hint),
    /// Weighs rows by what the dense network knows of them.
    PwLoss,
    /// Bounds the excess drop of every group.
    Ceag,
    /// Lifts the groups whose excess drop is over the bound.
    Lift,
    /// Equal losses of all groups.
    EqualLoss,
    /// BiFP's surrogate of parity.
    Surrogate,
    /// Mixes rows in pairs.
    Mix,
    /// Keeps the running average of the weights.
    Average,
    /// Trains the last layer alone at the end.
    LastLayer,
    /// The constraints act before pruning only.
    Before,
    /// The constraints act after pruning only.
    After,
    /// Stands for other parts.
    Sum(&'static str),
}

/// What a part needs to know of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Labels {
    /// No group labels: what is left where they are missing.
    None,
    /// Labels of two groups in the paper, of any number here.
    TwoInPaper,
    /// Labels of any number of groups.
    Any,
}

/// What a part costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gradients {
    /// Weights or activations only.
    None,
    /// First derivatives.
    First,
    /// Squared first derivatives of every row, in place of second ones.
    Fisher,
    /// Training of its own.
    Training,
}

/// A part of a method, as `evenkeel methods` lists it.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub kind: Kind,
    /// Group labels.
    pub labels: Labels,
    /// Derivatives.
    pub gradients: Gradients,
    /// In one sentence.
    pub words: &'static str,
    /// Where it is from.
    pub paper: &'static str,
}

const fn part(
    name: &'static str,
    kind: Kind,
    labels: Labels,
    gradients: Gradients,
    words: &'static str,
    paper: &'static str,
) -> Part {
    Part { name, kind, labels, gradients, words, paper }
}

use Gradients::{First, Fisher, Training};
use Kind::Score;
use Labels::{Any, TwoInPaper};
use Policy::{Cheapest, Share, Uniform};

/// Every part that a method can name.
pub const PARTS: [Part; 31] = [
    part("default", Kind::Sum(DEFAULT), Any, First, "what the study in docs/study.md recommends", "this project"),
    part(
        "random",
        Score(Scorer::Random, Uniform),
        Labels::None,
        Gradients::None,
        "channels by chance, every layer alike",
        "a baseline",
    ),
    part(
        "magnitude",
        Score(Scorer::Magnitude, Uniform),
        Labels::None,
        Gradients::None,
        "smallest L1 norm, every layer alike",
        "Li et al. 2017",
    ),
    part(
        "fpgm",
        Score(Scorer::Fpgm, Uniform),
        Labels::None,
        Gradients::None,
        "filters that others can stand in for, every layer alike",
        "He et al. 2019",
    ),
    part(
        "bn-scale",
        Score(Scorer::BnScale, Cheapest),
        Labels::None,
        Gradients::None,
        "smallest scale of the normalisation, over all layers",
        "Liu et al. 2017",
    ),
    part(
        "taylor",
        Score(Scorer::Taylor, Cheapest),
        Labels::None,
        First,
        "smallest squared gate gradient per cost, over all layers",
        "Molchanov et al. 2019",
    ),
    part(
        "blend",
        Score(Scorer::Blend, Cheapest),
        Labels::None,
        First,
        "taylor over all layers, the mean of taylor and magnitude in each",
        "this project",
    ),
    part(
        "fisher",
        Score(Scorer::Fisher, Cheapest),
        Labels::None,
        Fisher,
        "the same with every row squared by itself",
        "Theis et al. 2018",
    ),
    part(
        "undecayed",
        Score(Scorer::Undecayed, Cheapest),
        Labels::None,
        First,
        "gate gradient without what weight decay explains",
        "Good et al. 2022",
    ),
    part(
        "worst-group",
        Score(Scorer::WorstGroup, Cheapest),
        Any,
        First,
        "least importance lost by the worst group per cost, over all layers",
        "this project",
    ),
    part(
        "fairgrape",
        Score(Scorer::FairGrape, Share),
        Any,
        First,
        "every group keeps its share of the importance, every layer alike",
        "Lin et al. 2022",
    ),
    part(
        "fairprune",
        Score(Scorer::FairPrune, Cheapest),
        TwoInPaper,
        Fisher,
        "what matters to the better served and not to the worse served goes first",
        "Wu et al. 2022",
    ),
    part(
        "snnl",
        Score(Scorer::Snnl, Uniform),
        Any,
        Gradients::None,
        "channels that tell groups apart go first, every layer alike",
        "Kong et al. 2024",
    ),
    part(
        "ffw",
        Score(Scorer::Ffw, Uniform),
        Any,
        Training,
        "gates learnt on frozen weights against a head that guesses the group",
        "Nahon et al. 2024",
    ),
    part(
        "bifp-mask",
        Score(Scorer::Bifp, Uniform),
        TwoInPaper,
        Training,
        "masks and weights learnt in turns under the surrogate of parity",
        "Dai et al. 2023",
    ),
    part(
        "parity",
        Kind::Surrogate,
        TwoInPaper,
        First,
        "convex surrogate of accuracy parity in the fine-tuning",
        "Dai et al. 2023",
    ),
    part(
        "bifp",
        Kind::Sum("bifp-mask+parity"),
        TwoInPaper,
        Training,
        "joint mask and weights, bi-level",
        "Dai et al. 2023",
    ),
    part(
        "ceag",
        Kind::Ceag,
        Any,
        First,
        "a multiplier per group holds its excess drop under the contract's bound",
        "Hashemizadeh et al. 2024",
    ),
    part(
        "lift",
        Kind::Lift,
        Any,
        First,
        "rows weigh more while their group loses more than the contract's bound",
        "this project",
    ),
    part(
        "equal-loss",
        Kind::EqualLoss,
        Any,
        First,
        "a multiplier per group holds its loss at everybody's",
        "Tran et al. 2022",
    ),
    part(
        "pw-loss",
        Kind::PwLoss,
        Labels::None,
        First,
        "rows weigh by the dense model's doubt, its errors are corrected",
        "Meyer 2022",
    ),
    part(
        "kd",
        Kind::Distil(Teaches::Always),
        Labels::None,
        First,
        "distillation of the dense model's outputs",
        "Hinton et al. 2015; Blakeney et al. 2021",
    ),
    part(
        "ckd",
        Kind::Distil(Teaches::WhenRight),
        Labels::None,
        First,
        "the same on the rows that the dense model gets right; labels teach the others",
        "Meng et al. 2019",
    ),
    part(
        "at",
        Kind::Hint(Hint::Attention),
        Labels::None,
        First,
        "attention maps like the dense model's",
        "Zagoruyko & Komodakis 2017; Blakeney et al. 2021",
    ),
    part(
        "sp",
        Kind::Hint(Hint::Similarity),
        Labels::None,
        First,
        "rows as similar to each other as in the dense model",
        "Tung & Mori 2019; Blakeney et al. 2021",
    ),
    part(
        "pkt",
        Kind::Hint(Hint::Probability),
        Labels::None,
        First,
        "the same as probabilities",
        "Passalis & Tefas 2018; Blakeney et al. 2021",
    ),
    part(
        "mix",
        Kind::Mix,
        Labels::None,
        First,
        "rows mixed in pairs, in the input of the dense model too",
        "Zhang et al. 2018; Beyer et al. 2022",
    ),
    part(
        "average",
        Kind::Average,
        Labels::None,
        First,
        "the running average of the weights in place of the last ones",
        "Polyak & Juditsky 1992; Tarvainen & Valpola 2017",
    ),
    part(
        "last-layer",
        Kind::LastLayer,
        Any,
        First,
        "the last layer alone is trained at the end, under the constraint",
        "Mao et al. 2023",
    ),
    part(
        "fair-then-prune",
        Kind::Before,
        Any,
        First,
        "constraints on the dense network, then plain pruning",
        "two stages, as in Dai et al. 2023",
    ),
    part(
        "prune-then-fair",
        Kind::After,
        Any,
        First,
        "plain pruning, then constraints in the recovery",
        "two stages, as in Dai et al. 2023",
    ),
];
