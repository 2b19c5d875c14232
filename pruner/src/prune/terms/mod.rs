//! The terms of the methods: each is one thing that the fine-tuning does beside cross-entropy.
//!
//! | module | term |
//! | --- | --- |
//! | [`ceag`] | a multiplier per group on its excess drop |
//! | [`lift`] | the same as more weight for the rows of the group, and for others no less than a quarter of it |
//! | [`drops`] | the running excess drop of each group, for these two |
//! | [`equal_loss`] | a multiplier per group on its loss |
//! | [`surrogate`] | BiFP's convex surrogate of accuracy parity |
//! | [`gaps`] | how far the losses of groups are apart, for the two above |
//! | [`distil`] | knowledge distillation |
//! | [`hints`] | likeness of activations: attention, similarity, probabilities |
//! | [`pw_loss`] | weights and targets from the dense model's confidence |
//!
//! A row is in one group of each entry of the contract, and counts in all of them. A group that a batch does not hold
//! adds nothing to it, and what is remembered of the group stays. Rows whose group is unknown are a group of their own in
//! each entry, with the same promise as the others: the verdict judges them so, and a value that is missing more often for
//! some people would otherwise be where harm hides.

pub mod ceag;
pub mod distil;
pub mod drops;
pub mod equal_loss;
pub mod gaps;
pub mod hints;
pub mod lift;
pub mod pw_loss;
pub mod surrogate;

#[cfg(test)]
pub(crate) mod testing {
    use crate::data::GroupSet;
    use crate::data::groups::Group;

    /// Groups of these sizes of one entry, one behind the other.
    pub fn groups(sizes: &[usize]) -> GroupSet {
        let mut set = GroupSet { groups: vec![], of_row: vec![] };
        for (i, size) in sizes.iter().enumerate() {
            let first = set.of_row.len();
            set.groups.push(Group { name: format!("g={i}"), rows: (first..first + size).collect() });
            set.of_row.resize(first + size, vec![i as u32]);
        }
        set
    }
}
