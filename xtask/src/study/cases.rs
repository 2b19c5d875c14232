//! What the study runs: data sets with their networks and contracts, methods, budgets.

/// A network, its data and what the contract says of them.
pub struct Case {
    pub name: &'static str,
    /// File names in the folder of models and the folder of data, without extension.
    pub model: &'static str,
    pub data: &'static str,
    /// The contract's entry of groups.
    pub groups: &'static str,
    pub metric: &'static str,
    /// Column of rows that are not independent.
    pub cluster: Option<&'static str>,
    /// Raw values are bytes of an image.
    pub bytes: bool,
    /// Per budget of [`BUDGETS`], the share of the dense file that uniform magnitude pruning needs at its MACs, in
    /// thousandths, rounded up.
    pub flash: [u32; 3],
    /// Only about how the constraint does with this number of groups: few methods, one budget.
    pub counts_groups: bool,
}

/// Shares of MACs in percent. The first is the one that the claims are about, so it is run first.
pub const BUDGETS: [u32; 3] = [25, 50, 10];

/// Bound on every excess drop.
pub const BOUND: f64 = 0.02;

const MOTION: Case = Case {
    name: "motionsense",
    model: "har_cnn",
    data: "motionsense",
    groups: "gender",
    metric: "accuracy",
    cluster: Some("subject"),
    bytes: false,
    flash: [315, 545, 168],
    counts_groups: false,
};

const FACES: Case = Case {
    name: "fairface32",
    model: "face_resnet8",
    data: "fairface32",
    groups: "race",
    cluster: None,
    bytes: true,
    flash: [279, 567, 174],
    ..MOTION
};

/// All cases; those of [`Case::counts_groups`] last.
pub const CASES: [Case; 7] = [
    MOTION,
    Case {
        name: "mitbih",
        model: "ecg_resnet1d",
        data: "mitbih",
        groups: "sex",
        metric: "macro_recall",
        cluster: Some("record"),
        flash: [287, 566, 165],
        ..MOTION
    },
    FACES,
    // Its need of flash at 10 % is not measured, so there the limit is the dense file.
    Case { name: "fairface32-mbv2", model: "face_mbv2", flash: [347, 595, 1000], ..FACES },
    Case { name: "groups-2", counts_groups: true, ..MOTION },
    Case { name: "groups-7", counts_groups: true, ..FACES },
    // Rows of one person are the group itself here, so they are not clustered again. Every group adds to the contract's
    // share of the file, hence another limit; only the first budget is run.
    Case {
        name: "groups-24",
        groups: "subject",
        cluster: None,
        flash: [370, 1000, 1000],
        counts_groups: true,
        ..MOTION
    },
];

/// What `--cases` takes for all cases that count groups.
pub const GROUPS: &str = "groups";

/// Methods of the cases that count groups: with the constraint, and without as the yardstick of its time.
pub const GROUP_METHODS: [&str; 3] = ["magnitude", "ceag", "default"];

/// The default and what is published; what comes first is run first for every seed.
pub const METHODS: [&str; 23] = [
    "default",
    "magnitude",
    "taylor",
    "ceag",
    "fairgrape",
    "kd",
    "fairprune",
    "bifp",
    "equal-loss",
    "pw-loss",
    "at+kd",
    "pkt+kd",
    "sp+kd",
    "fair-then-prune",
    "prune-then-fair",
    "snnl",
    "ffw",
    "last-layer",
    "undecayed",
    "fisher",
    "fpgm",
    "bn-scale",
    "random",
];

/// Methods and sums of our own: candidates for the default.
pub const CANDIDATES: [&str; 8] = [
    "blend+ceag+average",
    "worst-group",
    "taylor+kd",
    "taylor+kd+ceag",
    "taylor+at+kd+ceag",
    "fairgrape+kd+ceag",
    "taylor+pw-loss+kd+ceag",
    "worst-group+kd+ceag",
];

impl Case {
    /// The case of that name.
    pub fn named(name: &str) -> Option<&'static Case> {
        CASES.iter().find(|c| c.name == name)
    }

    /// Its contract at a budget in percent of the MACs.
    pub fn contract(&self, budget: u32) -> String {
        let cluster = self.cluster.map_or_else(String::new, |c| format!("cluster = \"{c}\"\n"));
        let input = if self.bytes { "\n[input]\nscale = 0.003921569\nmean = [0.5]\nstd = [0.25]\n" } else { "" };
        let flash = BUDGETS.iter().position(|b| *b == budget).map_or(1000, |i| self.flash[i]);
        format!(
            "[fairness]\ngroups = [\"{}\"]\nmetric = \"{}\"\nmax_excess_drop = {BOUND}\n{cluster}\n[budget]\nmacs = \"{budget}%\"\nflash = \"{}.{}%\"\n{input}",
            self.groups,
            self.metric,
            flash / 10,
            flash % 10
        )
    }
}
