//! What a pruning method is made of: a scorer, a policy, terms of the fine-tuning, and when they act. Methods are sums
//! of parts (`fairgrape+kd+ceag`), and every part is one of the table [`PARTS`].

pub use super::parts::{DEFAULT, Gradients, Kind, Labels, PARTS, Part};

use super::score::Scorer;
use super::select::Policy;
use crate::error::{Error, Result};
use Kind::Score;
use std::fmt;
use std::str::FromStr;

/// When the constraints of a method act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// In all fine-tuning.
    #[default]
    Always,
    /// On the dense network, before it is pruned.
    Before,
    /// In the recovery.
    After,
    /// While the last layer is trained alone.
    LastLayer,
}

/// A method, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// As the user wrote it.
    pub name: String,
    /// Which channels go.
    pub scorer: Scorer,
    /// How they are compared.
    pub policy: Policy,
    /// Distil, hints, weights and constraints.
    pub terms: Vec<Kind>,
    /// When constraints act.
    pub when: When,
    /// Whether the last layer is trained alone at the end.
    pub last_layer: bool,
}

impl Recipe {
    /// Whether some part of it needs group labels.
    pub fn needs_labels(&self) -> bool {
        let asks = |kind: Kind| PARTS.iter().any(|p| p.kind == kind && p.labels != Labels::None);
        asks(Score(self.scorer, self.policy)) || self.last_layer || self.terms.iter().any(|k| asks(*k))
    }

    /// Whether it bounds something per group in the fine-tuning.
    pub fn has_constraint(&self) -> bool {
        self.terms.iter().any(|k| is_constraint(*k))
    }

    /// Whether it has this term.
    pub fn has(&self, kind: Kind) -> bool {
        self.terms.contains(&kind)
    }

    /// Whether it compares activations with the dense network's.
    pub fn has_hints(&self) -> bool {
        self.terms.iter().any(|k| matches!(k, Kind::Hint(_)))
    }
}

/// Whether a term is about groups.
pub fn is_constraint(kind: Kind) -> bool {
    matches!(kind, Kind::Ceag | Kind::Lift | Kind::EqualLoss | Kind::Surrogate)
}

impl Default for Recipe {
    fn default() -> Self {
        let mut recipe = Recipe::empty("default");
        recipe.add(DEFAULT).ok();
        recipe
    }
}

impl Recipe {
    fn empty(name: &str) -> Self {
        Recipe {
            name: name.to_owned(),
            scorer: Scorer::Magnitude,
            policy: Policy::Uniform,
            terms: Vec::new(),
            when: When::default(),
            last_layer: false,
        }
    }

    /// Adds the parts of a sum. `Ok(true)` when one of them scores.
    fn add(&mut self, sum: &str) -> Result<bool> {
        let mut scores = false;
        for name in sum.split('+').map(str::trim) {
            let found = PARTS.iter().find(|p| p.name == name).ok_or_else(|| unknown(name))?;
            let again = match found.kind {
                Kind::Sum(parts) => self.add(parts)? && std::mem::replace(&mut scores, true),
                Score(scorer, policy) => {
                    (self.scorer, self.policy) = (scorer, policy);
                    std::mem::replace(&mut scores, true)
                }
                Kind::LastLayer => std::mem::replace(&mut self.last_layer, true),
                Kind::Before => std::mem::replace(&mut self.when, When::Before) != When::Always,
                Kind::After => std::mem::replace(&mut self.when, When::After) != When::Always,
                kind => {
                    let teaches = |k: &Kind| matches!(k, Kind::Distil(_));
                    let again = self.has(kind) || (teaches(&kind) && self.terms.iter().any(teaches));
                    self.terms.push(kind);
                    again
                }
            };
            if again {
                return Err(Error::new(format!(
                    "method `{}`: `{name}` is there twice, or beside another of its kind",
                    self.name
                ))
                .help("a method has one way to score channels, and names each part once"));
            }
        }
        Ok(scores)
    }
}

fn unknown(name: &str) -> Error {
    let names: Vec<&str> = PARTS.iter().map(|p| p.name).collect();
    Error::new(format!("there is no method `{name}`"))
        .help(format!("methods are sums of {}; `evenkeel methods` explains them", names.join(", ")))
}

impl FromStr for Recipe {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let mut recipe = Recipe::empty(s);
        recipe.add(s)?;
        if recipe.when == When::Before && (recipe.has(Kind::Ceag) || recipe.has(Kind::Lift)) {
            return Err(Error::new(format!(
                "method `{s}`: `ceag` and `lift` bound the drop from the dense network, which is none before pruning"
            ))
            .help("put parity or equal-loss beside fair-then-prune"));
        }
        if recipe.has(Kind::Mix) && recipe.has(Kind::PwLoss) {
            return Err(Error::new(format!(
                "method `{s}`: `mix` and `pw-loss` each give the rows targets of their own"
            ))
            .help("leave one of them out"));
        }
        if recipe.when != When::Always && !recipe.has_constraint() {
            recipe.terms.push(Kind::Surrogate);
        }
        if recipe.last_layer && !recipe.has_constraint() {
            recipe.terms.push(Kind::Ceag);
            recipe.when = When::LastLayer;
        }
        Ok(recipe)
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::terms::distil::Teaches;
    use super::*;

    #[test]
    fn sums_are_taken_apart() {
        let r: Recipe = "fairgrape+kd+ceag".parse().unwrap();
        assert_eq!((r.scorer, r.policy), (Scorer::FairGrape, Policy::Share));
        assert_eq!(r.terms, [Kind::Distil(Teaches::Always), Kind::Ceag]);
        let r: Recipe = "at+kd".parse().unwrap();
        assert_eq!(r.scorer, Scorer::Magnitude);
        assert!(r.has_hints() && !r.needs_labels() && !r.has_constraint());
        assert!("snnl".parse::<Recipe>().unwrap().needs_labels());
        let r: Recipe = "fair-then-prune".parse().unwrap();
        assert!(r.when == When::Before && r.has(Kind::Surrogate));
        assert_eq!(Recipe::default(), "default".parse().unwrap());
    }

    #[test]
    fn nonsense_is_named() {
        let error = |s: &str| s.parse::<Recipe>().unwrap_err().to_string();
        assert!(error("magnitud").contains("`magnitud`"));
        assert!(error("taylor+fair-then-prune+ceag").contains("none before pruning"));
        assert!(error("pw-loss+kd+mix").contains("targets of their own"));
        for twice in
            ["taylor+fisher", "kd+kd", "kd+ckd", "default+lift", "bifp+magnitude", "fair-then-prune+prune-then-fair"]
        {
            assert!(error(twice).contains("twice"), "{twice}");
        }
    }

    #[test]
    fn every_part_is_a_method() {
        for part in &PARTS {
            assert!(part.name.parse::<Recipe>().is_ok(), "{}", part.name);
        }
    }
}
