//! Every kind of stage, one row each.

use super::Kind;
use super::backbone::Backbone;
use super::baselines::{FitBpr, FitKnn, FitPopularity};
use super::combine::Combine;
use super::command::ProgramStage;
use super::embed_text::EmbedText;
use super::evaluate::Evaluate;
use super::fit_cf::FitCf;
use super::fit_encoder::FitEncoder;
use super::fit_sasrec::FitSasrec;
use super::generate::Generate;
use super::ingest::Ingest;
use super::openp5::OpenP5;
use super::pairs::Pairs;
use super::phase_1::Phase1Stage;
use super::phase_2::Phase2;
use super::pretrained_encoder::PretrainedEncoder;
use super::pretrained_language_model::PretrainedLanguageModel;
use super::prompts::PromptsStage;
use super::rank::Rank;
use super::ranking_table::RankingTable;
use super::split::Split;
use super::statistics::{Statistics, StatisticsTable};
use super::table::Table;
use super::tasks::Tasks;
use super::tokenizer::TrainTokenizer;

const REGISTRY: &[Kind] = &[
    Kind::of::<Ingest>(),
    Kind::of::<Split>(),
    Kind::of::<FitCf>(),
    Kind::of::<FitPopularity>(),
    Kind::of::<FitKnn>(),
    Kind::of::<FitBpr>(),
    Kind::of::<FitSasrec>(),
    Kind::of::<FitEncoder>(),
    Kind::of::<PretrainedEncoder>(),
    Kind::of::<EmbedText>(),
    Kind::of::<Combine>(),
    Kind::of::<Pairs>(),
    Kind::of::<Tasks>(),
    Kind::of::<TrainTokenizer>(),
    Kind::of::<Backbone>(),
    Kind::of::<PretrainedLanguageModel>(),
    Kind::of::<Phase1Stage>(),
    Kind::of::<Phase2>(),
    Kind::of::<Generate>(),
    Kind::of::<Evaluate>(),
    Kind::of::<Rank>(),
    Kind::of::<RankingTable>(),
    Kind::of::<OpenP5>(),
    Kind::of::<PromptsStage>(),
    Kind::of::<Statistics>(),
    Kind::of::<StatisticsTable>(),
    Kind::of::<Table>(),
    Kind::of::<ProgramStage>(),
];

/// Every kind, in the order in which a pipeline usually has them.
pub fn registry() -> &'static [Kind] {
    REGISTRY
}

/// The kind of this name.
pub fn find(name: &str) -> Option<&'static Kind> {
    REGISTRY.iter().find(|kind| kind.name == name)
}
