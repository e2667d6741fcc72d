//! What others reported for leave-one-out ranking over all items, as data.
//!
//! Only numbers that were read are here. To add one, write it with its source.

/// Hit ratio and NDCG of one method, as reported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReportedRow {
    /// The method, as in its paper.
    pub method: &'static str,
    /// HR@5, NDCG@5, HR@10, NDCG@10; none where the number is not at hand.
    pub values: [Option<f64>; 4],
    /// Mark of a footnote; empty for none.
    pub mark: &'static str,
}

/// The reported rows of a data set.
#[derive(Clone, Copy, Debug)]
pub struct Reported {
    /// What a pipeline file calls it: `openp5-beauty`.
    pub name: &'static str,
    /// Best methods last.
    pub rows: &'static [ReportedRow],
}

/// The metrics of [`ReportedRow::values`].
pub const METRICS: [&str; 4] = ["HR@5", "NDCG@5", "HR@10", "NDCG@10"];

/// Where the numbers are from, for a caption.
pub const SOURCE: &str =
    "OpenP5 (Xu, Hua & Zhang, SIGIR 2024), tables 3 and 4; ILM from its tables of both tasks";

/// Footnotes: mark and text.
pub const NOTES: &[(&str, &str)] = &[(
    "a",
    "reported for OpenP5's straightforward task: the same users and held-out items, asked without a history",
)];

const fn row(method: &'static str, values: [f64; 4]) -> ReportedRow {
    marked(method, values, "")
}

const fn marked(method: &'static str, values: [f64; 4], mark: &'static str) -> ReportedRow {
    let [a, b, c, d] = values;
    ReportedRow {
        method,
        values: [Some(a), Some(b), Some(c), Some(d)],
        mark,
    }
}

/// Every data set with reported rows.
pub const REPORTED: &[Reported] = &[
    Reported {
        name: "openp5-beauty",
        rows: &[
            marked("BPR-MF", [0.0224, 0.0149, 0.0363, 0.0204], "a"),
            marked("SimpleX", [0.0300, 0.0189, 0.0471, 0.0245], "a"),
            row("BERT4Rec", [0.0203, 0.0124, 0.0347, 0.0170]),
            row("SASRec", [0.0387, 0.0249, 0.0605, 0.0318]),
            row("OpenP5-T5-R", [0.0318, 0.0226, 0.0464, 0.0273]),
            row("OpenP5-T5-C", [0.0421, 0.0285, 0.0601, 0.0346]),
            row("OpenP5-T5-S", [0.0457, 0.0336, 0.0622, 0.0389]),
            ReportedRow {
                method: "ILM",
                values: [Some(0.0227), None, None, None],
                mark: "",
            },
        ],
    },
    Reported {
        name: "openp5-ml-1m",
        rows: &[
            marked("BPR-MF", [0.0141, 0.0081, 0.0301, 0.0133], "a"),
            marked("SimpleX", [0.0301, 0.0133, 0.0596, 0.0206], "a"),
            row("SASRec", [0.1078, 0.0681, 0.1810, 0.0918]),
            row("BERT4Rec", [0.1308, 0.0804, 0.2219, 0.1097]),
            row("HGN", [0.1430, 0.0874, 0.2404, 0.1231]),
            row("OpenP5-T5-R", [0.1098, 0.0734, 0.1575, 0.0888]),
            row("OpenP5-T5-S", [0.1901, 0.1229, 0.2849, 0.1535]),
            row("OpenP5-T5-C", [0.2066, 0.1400, 0.2945, 0.1683]),
            ReportedRow {
                method: "ILM",
                values: [Some(0.1357), None, Some(0.1922), None],
                mark: "",
            },
        ],
    },
];

impl Reported {
    /// The rows of the data set of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        REPORTED.iter().find(|reported| reported.name == name)
    }

    /// The row of a method.
    pub fn row(&self, method: &str) -> Option<&'static ReportedRow> {
        self.rows.iter().find(|row| row.method == method)
    }
}

impl ReportedRow {
    /// The value of a metric.
    pub fn value(&self, metric: &str) -> Option<f64> {
        let place = METRICS.iter().position(|name| *name == metric)?;
        self.values[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reported_numbers_can_be_true() {
        for row in REPORTED.iter().flat_map(|reported| reported.rows) {
            let [hr5, ndcg5, hr10, ndcg10] = row.values;
            // With one right item NDCG is at most the hit ratio, and a longer list never has less.
            for (less, more) in [(ndcg5, hr5), (ndcg10, hr10), (hr5, hr10), (ndcg5, ndcg10)] {
                if let (Some(less), Some(more)) = (less, more) {
                    assert!(0.0 < less && less < more && more < 1.0, "{row:?}");
                }
            }
            assert!(row.mark.is_empty() || NOTES.iter().any(|note| note.0 == row.mark));
        }
        let beauty = Reported::find("openp5-beauty").unwrap();
        assert_eq!(beauty.row("SASRec").unwrap().value("HR@10"), Some(0.0605));
        assert_eq!(beauty.row("ILM").unwrap().value("HR@10"), None);
        assert_eq!(beauty.row("SASRec").unwrap().value("MRR"), None);
    }
}
