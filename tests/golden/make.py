"""Writes fairness.json: made-up predictions and what fairlearn, AIF360, scikit-learn and SciPy say of them.

Run by `cargo xtask golden`. The tests of pruner/src/fair compare every metric with these values. Where no package has a
metric, it is computed here from its definition, by another way than Evenkeel's where there is one (CKA from features
instead of Gram matrices, CEV with scikit-learn's mean_squared_error as its authors do).
"""

import json
import sys
import warnings
from importlib.metadata import version

import numpy as np
from aif360.sklearn.metrics import average_odds_difference
from fairlearn import metrics as fl
from scipy import stats
from sklearn import metrics as sk
from sklearn.linear_model import LinearRegression

warnings.filterwarnings("ignore")


def num(v):
    """A JSON number; what has no value is null."""
    v = float(v)
    return v if np.isfinite(v) else None


def predictions(rng, y, groups, classes, noise):
    """Logits in steps of 1/64, which f32 holds exactly; noisier for later groups."""
    z = rng.normal(size=(len(y), classes)) * (noise + 0.4 * groups)[:, None]
    z[np.arange(len(y)), y] += 1.5
    return np.round(z * 64) / 64


def rates(y, p, classes):
    """One class against the rest."""
    out = {"recall": [], "precision": [], "fpr": [], "fnr": [], "selection_rate": []}
    for c in range(classes):
        t, s = (y == c).astype(int), (p == c).astype(int)
        some = lambda has, f: num(f()) if has else None
        out["recall"].append(some(t.any(), lambda: sk.recall_score(t, s)))
        out["precision"].append(some(s.any(), lambda: sk.precision_score(t, s)))
        out["fpr"].append(some((1 - t).any(), lambda: fl.false_positive_rate(t, s, pos_label=1)))
        out["fnr"].append(some(t.any(), lambda: fl.false_negative_rate(t, s, pos_label=1)))
        out["selection_rate"].append(num(fl.selection_rate(t, s, pos_label=1)))
    return out


def calibration(y, z, classes):
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    right, top = p.argmax(1) == y, p.max(1)
    bins = np.minimum((top * 10).astype(int), 9)
    ece = sum((bins == b).mean() * abs(right[bins == b].mean() - top[bins == b].mean()) for b in np.unique(bins))
    labels = list(range(classes))
    two = p[:, 1] if classes == 2 else p
    return {
        "ece": num(ece),
        "brier": num(sk.brier_score_loss(y, two, labels=labels, scale_by_half=False)),
        "nll": num(sk.log_loss(y, p, labels=labels)),
    }


def of_group(y, p, z, classes):
    return {
        "n": len(y),
        "accuracy": num(sk.accuracy_score(y, p)),
        "balanced_accuracy": num(sk.balanced_accuracy_score(y, p)),
        **rates(y, p, classes),
        **calibration(y, z, classes),
    }


def parity(y, p, g, classes):
    """Differences and ratios between the groups g."""
    out = {}
    acc = fl.MetricFrame(metrics=sk.accuracy_score, y_true=y, y_pred=p, sensitive_features=g)
    out["accuracy_worst"], out["accuracy_gap"] = num(acc.group_min()), num(acc.difference())
    out["accuracy_ratio"] = num(acc.ratio())
    if classes == 2:
        kw = {"sensitive_features": g}
        out["demographic_parity_difference"] = num(fl.demographic_parity_difference(y, p, **kw))
        out["demographic_parity_ratio"] = num(fl.demographic_parity_ratio(y, p, **kw))
        out["equal_opportunity_difference"] = num(fl.equal_opportunity_difference(y, p, **kw))
        out["equal_opportunity_ratio"] = num(fl.equal_opportunity_ratio(y, p, **kw))
        for agg, name in [("worst_case", ""), ("mean", "_mean")]:
            out["equalized_odds_difference" + name] = num(fl.equalized_odds_difference(y, p, agg=agg, **kw))
            out["equalized_odds_ratio" + name] = num(fl.equalized_odds_ratio(y, p, agg=agg, **kw))
        return out

    def frame(rows, j):
        metric = lambda t, s: fl.selection_rate(t, s, pos_label=1)
        return fl.MetricFrame(metrics=metric, y_true=(y == j)[rows].astype(int), y_pred=(p == j)[rows].astype(int),
                              sensitive_features=g[rows])

    everyone = np.ones(len(y), bool)
    by_class = [frame(everyone, j) for j in range(classes)]
    cells = {(k, j): frame(y == k, j) for k in range(classes) for j in range(classes)}
    difference = lambda frames: [f.difference() for f in frames]
    ratio = lambda frames: [f.ratio() for f in frames if f.group_max() > 0]
    diagonal = [cells[k, k] for k in range(classes)]
    for name, frames in [("demographic_parity", by_class), ("equal_opportunity", diagonal)]:
        out[name + "_difference"] = num(np.mean(difference(frames)))
        out[name + "_ratio"] = num(np.mean(ratio(frames)))
    for agg, name in [("worst", ""), ("mean", "_mean")]:
        out["equalized_odds_difference" + name] = num((np.max if agg == "worst" else np.mean)(difference(cells.values())))
        out["equalized_odds_ratio" + name] = num((np.min if agg == "worst" else np.mean)(ratio(cells.values())))
    return out


def average_odds(y, p, member, classes):
    """AIF360's, the group as unprivileged, the others of its entry as privileged; mean over classes beyond two."""
    privileged = (~member).astype(int)
    of = lambda c: average_odds_difference((y == c).astype(int), (p == c).astype(int), prot_attr=privileged,
                                           priv_group=1, pos_label=1)
    return num(of(1)) if classes == 2 else num(np.mean([of(c) for c in range(classes)]))


def amplification(y, p, member, c):
    """Bias amplification of Iofinova et al. (CVPR 2023), skip rules included."""
    t, s = y == c, p == c
    if (t & member).sum() < 10 or (t & ~member).sum() < 10 or not s.any():
        return None
    inside, outside = t[member].mean(), t[~member].mean()
    if inside <= outside or (inside - outside) / min(inside, outside) < 0.1:
        return None
    return num((s & member).sum() / s.sum() - (t & member).sum() / t.sum())


def shift(y, d, s, classes):
    """CEV and SDE of Simon Says (2021) and of the authors' later paper (2022)."""
    a, b, dropped = [], [], 0
    for rd, rs in zip(np.array([rates(y, d, classes)[k] for k in ("fpr", "fnr")], float).T,
                      np.array([rates(y, s, classes)[k] for k in ("fpr", "fnr")], float).T):
        if not (rd > 0).all():
            dropped += 1
            continue
        a.append((rs[0] - rd[0]) / rd[0])
        b.append((rs[1] - rd[1]) / rd[1])
    points = np.array([a, b]).T
    percent = 100 * points
    centre = np.broadcast_to(percent.mean(0), percent.shape)
    return {
        "cev_2021_pct": num(sk.mean_squared_error(percent, centre)),
        "sde_2021_pct": num(np.mean(np.abs(percent[:, 0] - percent[:, 1]) / np.sqrt(2))),
        "cev_2022_ratio": num(np.mean(np.sum((points - points.mean(0)) ** 2, 1))),
        "sde_2022_ratio": num(np.mean(np.abs(points[:, 1] - points[:, 0]))),
        "dropped": dropped,
    }


def change(y, d, s, zd, zs, masks, classes):
    loss = lambda z, m: sk.log_loss(y[m], np.exp(z - np.logaddexp.reduce(z, axis=1)[:, None])[m],
                                    labels=list(range(classes)))
    everyone = np.ones(len(y), bool)
    drop = lambda m: sk.accuracy_score(y[m], d[m]) - sk.accuracy_score(y[m], s[m])
    groups = [{
        "drop": num(drop(m)),
        "excess_drop": num(drop(m) - drop(everyone)),
        "excess_loss": num(loss(zs, m) - loss(zd, m)),
        "churn": num(1 - sk.accuracy_score(d[m], s[m])),
        "harmful_flips": num(((d == y) & (s != y))[m].mean()),
    } for m in masks]
    return groups


def case(seed, n, classes, empty):
    rng = np.random.default_rng(seed)
    a = rng.choice(3, size=n, p=[0.6, 0.28, 0.12])
    b = rng.choice(2, size=n, p=[0.5, 0.5])
    weights = np.array([[1 + 2 * (c == g) for c in range(classes)] for g in range(3)], float)
    y = np.array([rng.choice(classes, p=weights[g] / weights[g].sum()) for g in a])
    zd, zs = (predictions(rng, y, a, classes, noise) for noise in (0.8, 1.1))
    if empty:  # nobody of class 0 in group 2, and nothing is taken for class 1 there
        y[(a == 2) & (y == 0)] = classes - 1
        zd[a == 2, 1] = zs[a == 2, 1] = -9
    d, s = zd.argmax(1), zs.argmax(1)
    out = {"classes": classes, "y": y.tolist(), "dense_logits": zd.ravel().tolist(),
           "small_logits": zs.ravel().tolist(), "a": a.tolist(), "b": b.tolist()}
    names = {f"a={k}": a == k for k in range(3)} | {f"b={k}": b == k for k in range(2)}
    names |= {f"a={i}*b={j}": (a == i) & (b == j) for i in range(3) for j in range(2)}
    entries = {"a": a, "b": b, "a*b": a * 2 + b}
    assert (zd.argmax(1) == d).all() and all(m.any() for m in names.values())
    everyone = np.ones(n, bool)
    for model, p, z in [("dense", d, zd), ("small", s, zs)]:
        out[model] = {
            "everybody": of_group(y, p, z, classes),
            "groups": {k: of_group(y[m], p[m], z[m], classes) for k, m in names.items()},
        }
        if not empty:
            out[model]["entries"] = {k: parity(y, p, g, classes) for k, g in entries.items()}
            out[model]["average_odds_difference"] = {
                k: average_odds(y, p, m, classes) for k, m in names.items() if "*" not in k}
            out[model]["bias_amplification"] = {
                k: [amplification(y, p, m, c) for c in range(classes)] for k, m in names.items() if "*" not in k}
    groups = change(y, d, s, zd, zs, list(names.values()), classes)
    out["change"] = dict(zip(names, groups))
    out["change"]["everybody"] = change(y, d, s, zd, zs, [everyone], classes)[0]
    of_a = groups[:3]
    spread = lambda key: num(max(g[key] for g in of_a) - min(g[key] for g in of_a))
    out["entry_a"] = {"degradation_gap": spread("drop"), "max_excess_drop": max(g["excess_drop"] for g in of_a),
                      "loss_gap": spread("excess_loss")}
    out["error_shift"] = shift(y, d, s, classes)
    recall = lambda p: sk.recall_score(y, p, average=None) - sk.accuracy_score(y, p)
    if classes > 2:
        out["recall_distortion"] = num(LinearRegression().fit(recall(d)[:, None], recall(s)).coef_[0])
    return out


def exemplars(seed):
    """PIE, taxicab CIE, and rows on which all runs leave the dense model."""
    rng = np.random.default_rng(seed)
    n, runs, classes = 60, 5, 3
    y = rng.integers(0, classes, n)
    run = lambda p: np.where(rng.random((runs, n)) < p, y, rng.integers(0, classes, (runs, n)))
    dense, small = run(0.8), run(0.5)
    count = lambda r: np.stack([(r == c).sum(0) for c in range(classes)], 1)
    pie = stats.mode(dense, axis=0).mode != stats.mode(small, axis=0).mode
    accuracy = lambda r, c: (r == y)[:, y == c].mean(1)
    overall = lambda r: (r == y).mean(1)
    tests = [stats.ttest_ind(accuracy(small, c) - overall(small).mean(), accuracy(dense, c) - overall(dense).mean(),
                             equal_var=False) for c in range(classes)]
    return {
        "classes": classes, "y": y.tolist(), "dense": dense.tolist(), "small": small.tolist(),
        "modal_pie": np.flatnonzero(pie).tolist(),
        "taxicab": (np.abs(count(dense) - count(small)).sum(1) / runs).tolist(),
        "all_disagree": np.flatnonzero((small != dense[0]).all(0)).tolist(),
        "class_p_values": [num(t.pvalue) for t in tests],
    }


def similarity(seed):
    """Linear CKA from centred features: |Y'X|² / (|X'X| |Y'Y|)."""
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=(40, 7)) * 64) / 64
    y = np.round((x[:, :4] + 0.5 * rng.normal(size=(40, 4))) * 64) / 64

    def cka(rows):
        p, q = (v[rows] - v[rows].mean(0) for v in (x, y))
        return num(np.linalg.norm(q.T @ p) ** 2 / (np.linalg.norm(p.T @ p) * np.linalg.norm(q.T @ q)))

    blocks = np.arange(40) % 8
    without = np.array([cka(np.flatnonzero(blocks != b)) for b in range(8)])
    error = np.sqrt(7 / 8 * ((without - without.mean()) ** 2).sum())
    return {"rows": 40, "jackknife_of_8_blocks": num(error), "x": x.ravel().tolist(), "y": y.ravel().tolist(), "cka": cka(np.arange(40)),
            "cka_of_first_15": cka(np.arange(15))}


def intervals():
    out = []
    for hits, n in [(0, 20), (81, 263), (3, 7), (50, 50), (199, 2000)]:
        test = stats.binomtest(hits, n)
        ci = lambda method: [float(v) for v in test.proportion_ci(0.98, method)]
        out.append({"hits": hits, "n": n, "wilson": ci("wilson"), "exact": ci("exact")})
    sample = [0.25, -1.5, 3.0, 0.75, 2.5, 9.0, -4.0]
    levels = [0.025, 0.3, 0.5, 0.975]
    return {"confidence": 0.98, "proportions": out,
            "sample": sample, "levels": levels, "quantiles": np.quantile(sample, levels).tolist()}


def main():
    out = {
        "made_by": {p: version(p) for p in ["aif360", "fairlearn", "numpy", "pandas", "scikit-learn", "scipy"]},
        "binary": case(1, 240, 2, False),
        "multi": case(2, 300, 4, False),
        "empty_cell": case(3, 200, 3, True),
        "exemplars": exemplars(4),
        "similarity": similarity(5),
        "intervals": intervals(),
    }
    with open(sys.argv[1], "w", encoding="utf-8") as f:
        # One line per key of a case: small, and a change shows where it is.
        f.write("{\n" + ",\n".join(
            f"{json.dumps(k)}: {{\n" + ",\n".join(f"{json.dumps(a)}: {json.dumps(b)}" for a, b in v.items()) + "\n}"
            for k, v in out.items()) + "\n}\n")


main()
