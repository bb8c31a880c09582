//! What came out, as it is kept in `results.json`, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::growth::Growth;
use crate::plan::{Aim, Bound, Figure, Row};

/// All that the document is made of.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) sitting: Sitting,
    pub(crate) runs: Vec<Run>,
    /// What `benches/growth` has measured.
    #[serde(default)]
    pub(crate) growth: Vec<Growth>,
}

/// When and where it was measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Sitting {
    pub(crate) date: String,
    pub(crate) is_quick: bool,
    pub(crate) repetitions: usize,
    pub(crate) machine: BTreeMap<String, String>,
    pub(crate) versions: BTreeMap<String, String>,
    /// What the reader should know of this sitting.
    pub(crate) remarks: Vec<String>,
}

/// What is measured: a server in a row, in a setting of it ("" where there is one only).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) row: String,
    pub(crate) server: String,
    pub(crate) setting: String,
}

/// One repetition of a case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    #[serde(flatten)]
    pub(crate) case: Case,
    pub(crate) repetition: usize,
    /// The date of the sitting in which it was measured.
    #[serde(default)]
    pub(crate) sitting: String,
    /// What was run, without what is of this machine.
    pub(crate) commands: Vec<String>,
    /// The load generator's report.
    #[serde(default)]
    pub(crate) load: Value,
    /// What was learned beside it.
    #[serde(default)]
    pub(crate) extra: BTreeMap<String, f64>,
    /// Why there is no report, or what is wrong with it.
    #[serde(default)]
    pub(crate) failure: Option<String>,
}

impl Run {
    /// A figure of this run.
    pub(crate) fn figure(&self, name: &str) -> Option<f64> {
        let of = |path: &str| self.load.pointer(path).and_then(Value::as_f64);
        match name {
            "p50_ms" => of("/delivery_ms/p50"),
            "p99_ms" => of("/delivery_ms/p99"),
            "ack_p50_ms" => of("/ack_ms/p50"),
            "ack_p99_ms" => of("/ack_ms/p99"),
            "bytes_per_connection" => of("/memory_bytes_per_connection"),
            "memory_peak_mb" => of("/servers/0/memory_bytes_peak").map(|bytes| bytes / 1e6),
            "memory_growth" => growth(&self.memory()),
            name => self.extra.get(name).copied().or_else(|| of(&format!("/{name}"))),
        }
    }

    /// The server's memory over time, in seconds and bytes.
    pub(crate) fn memory(&self) -> Vec<(f64, f64)> {
        let samples = self.load.pointer("/servers/0/memory_samples").and_then(Value::as_array);
        let pair = |sample: &Value| Some((sample.get(0)?.as_f64()?, sample.get(1)?.as_f64()?));
        samples.into_iter().flatten().filter_map(pair).collect()
    }

    /// How many messages did not come as promised.
    pub(crate) fn broken(&self) -> f64 {
        let all = ["lost", "doubled", "reordered", "astray", "not_stored", "stored_twice"];
        all.into_iter().filter_map(|name| self.figure(name)).sum()
    }
}

/// What the last fifth of the samples has on average, over what the second fifth has.
fn growth(samples: &[(f64, f64)]) -> Option<f64> {
    let fifth = samples.len() / 5;
    let mean = |part: &[(f64, f64)]| part.iter().map(|(_, b)| b).sum::<f64>() / part.len() as f64;
    let (early, late) = (samples.get(fifth..2 * fifth)?, &samples[samples.len() - fifth..]);
    (fifth > 0).then(|| mean(late) / mean(early))
}

/// The middle one; of an even number, the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

impl Results {
    /// The runs of a case.
    pub(crate) fn of<'a>(&'a self, case: &Case) -> impl Iterator<Item = &'a Run> {
        self.runs.iter().filter(move |run| run.case == *case)
    }

    /// The rows that were measured in another sitting than the last one, with its date.
    pub(crate) fn older(&self) -> BTreeSet<(&str, &str)> {
        let runs = self.runs.iter().filter(|run| run.sitting != self.sitting.date);
        runs.map(|run| (&*run.sitting, &*run.case.row)).collect()
    }

    /// The cases of a row, in the order in which they were measured first.
    pub(crate) fn cases(&self, row: &str) -> Vec<Case> {
        let mut seen = BTreeSet::new();
        let cases = self.runs.iter().map(|run| &run.case).filter(|case| case.row == row);
        cases.filter(|case| seen.insert((*case).clone())).cloned().collect()
    }

    /// The median of a figure.
    pub(crate) fn median(&self, case: &Case, figure: &str) -> Option<f64> {
        median(self.of(case).filter_map(|run| run.figure(figure)).collect())
    }

    /// The sum of a figure over all runs of a case: of what must never happen.
    pub(crate) fn sum(&self, case: &Case, figure: &str) -> f64 {
        self.of(case).filter_map(|run| run.figure(figure)).sum()
    }

    /// The setting in which a server does best in a row.
    pub(crate) fn best(&self, row: &Row, server: &str) -> Option<Case> {
        let (figure, less_is_better) = row.main;
        let cases = self.cases(row.name).into_iter().filter(|case| case.server == server);
        let rated = cases.map(|case| {
            let value = self
                .median(&case, figure)
                .map_or(f64::NEG_INFINITY, |value| if less_is_better { -value } else { value });
            (case, value)
        });
        rated.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(case, _)| case)
    }

    fn value(&self, row: &Row, (server, setting, figure): Figure) -> Option<f64> {
        let case = if setting.is_empty() {
            self.best(row, server.name())?
        } else {
            Case {
                row: row.name.to_owned(),
                server: server.name().to_owned(),
                setting: setting.to_owned(),
            }
        };
        self.median(&case, figure)
    }

    /// What is measured for an aim, and whether it is met; `None` where it was not measured.
    pub(crate) fn verdict(&self, row: &Row, aim: &Aim) -> Option<(f64, bool)> {
        let top = self.value(row, aim.top)?;
        let measured = match aim.bottom {
            Some(bottom) => top / self.value(row, bottom)?,
            None => top,
        };
        let is_met = match aim.bound {
            Bound::AtLeast(least) => measured >= least,
            Bound::AtMost(most) => measured <= most,
        };
        measured.is_finite().then_some((measured, is_met))
    }

    /// Takes in what was measured later, in place of what was measured of the same rows; and of
    /// growth, if any was.
    pub(crate) fn renew(mut self, newer: Results) -> Results {
        let rows: BTreeSet<_> = newer.runs.iter().map(|run| run.case.row.clone()).collect();
        self.runs.retain(|run| !rows.contains(&run.case.row));
        let is_quick = newer.sitting.is_quick || (self.sitting.is_quick && !self.runs.is_empty());
        self.runs.extend(newer.runs);
        let growth = if newer.growth.is_empty() { self.growth } else { newer.growth };
        Results { sitting: Sitting { is_quick, ..newer.sitting }, runs: self.runs, growth }
    }
}
