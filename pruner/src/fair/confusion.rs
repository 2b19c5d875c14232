//! Counts of a group's rows by true and predicted class, and the rates that follow from them.
//!
//! Rates of a class are one against the rest. A rate without rows (the recall of a class that the group lacks, the
//! precision of a class that is never predicted) has no value; fairlearn and scikit-learn call it 0, which would make a
//! group without such rows the worst one.

/// Counts by true and predicted class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<usize>,
}

impl Confusion {
    /// No rows yet.
    pub fn new(classes: usize) -> Self {
        Confusion { classes, counts: vec![0; classes * classes] }
    }

    /// Of `rows`; classes in `y` and `pred` are under `classes`.
    pub fn of(y: &[usize], pred: &[usize], rows: &[usize], classes: usize) -> Self {
        let mut m = Confusion::new(classes);
        rows.iter().for_each(|&i| m.add(y[i], pred[i]));
        m
    }

    /// Counts one row.
    pub fn add(&mut self, y: usize, pred: usize) {
        self.counts[y * self.classes + pred] += 1;
    }

    /// The rows that are not in `part`, some of these rows.
    pub fn without(&self, part: &Confusion) -> Self {
        let counts = self.counts.iter().zip(&part.counts).map(|(all, part)| all - part).collect();
        Confusion { classes: self.classes, counts }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Rows of class `y` predicted as `pred`.
    pub fn at(&self, y: usize, pred: usize) -> usize {
        self.counts[y * self.classes + pred]
    }

    /// All rows.
    pub fn rows(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Rows of a class.
    pub fn positives(&self, class: usize) -> usize {
        self.counts[class * self.classes..][..self.classes].iter().sum()
    }

    /// Rows predicted as a class.
    pub fn selected(&self, class: usize) -> usize {
        (0..self.classes).map(|y| self.at(y, class)).sum()
    }

    /// Share of rows that are right.
    pub fn accuracy(&self) -> Option<f64> {
        ratio((0..self.classes).map(|c| self.at(c, c)).sum(), self.rows())
    }

    /// Recall, the true-positive rate.
    pub fn recall(&self, class: usize) -> Option<f64> {
        self.rate(class, class)
    }

    /// Share of the rows of class `y` that are predicted as `pred`.
    pub fn rate(&self, y: usize, pred: usize) -> Option<f64> {
        ratio(self.at(y, pred), self.positives(y))
    }

    /// Share of the rows predicted as the class that are of it.
    pub fn precision(&self, class: usize) -> Option<f64> {
        ratio(self.at(class, class), self.selected(class))
    }

    /// Share of the other classes' rows that are predicted as the class.
    pub fn fpr(&self, class: usize) -> Option<f64> {
        ratio(self.selected(class) - self.at(class, class), self.rows() - self.positives(class))
    }

    /// Share of the class's rows that are predicted as another.
    pub fn fnr(&self, class: usize) -> Option<f64> {
        let positives = self.positives(class);
        ratio(positives - self.at(class, class), positives)
    }

    /// Share of all rows that are predicted as the class.
    pub fn selection_rate(&self, class: usize) -> Option<f64> {
        ratio(self.selected(class), self.rows())
    }

    /// Mean of the recalls of the classes that there are (scikit-learn's `balanced_accuracy_score`).
    pub fn balanced_accuracy(&self) -> Option<f64> {
        super::metrics::mean((0..self.classes).filter_map(|c| self.recall(c)))
    }
}

/// `part / whole`; `None` of nothing.
pub(super) fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
