//! Interpolating a value and writing it out are the same.

use crate::spec::interpolate::interpolate;
use crate::spec::lookups::ParamsOnly;
use crate::spec::problem::Findings;
use crate::spec::testing::load_text;
use crate::spec::value::{Value, read_table};
use proptest::prelude::*;
use toml::de::DeTable;

/// A random TOML value as text, and the JSON it stands for.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        (-1e12f64..1e12).prop_map(|x| format!("{x:?}")),
        any::<bool>().prop_map(|b| b.to_string()),
        "[ -~]{0,12}"
            .prop_map(|text| { serde_json::to_string(&text.replace("${", "$${")).unwrap() }),
        Just("2026-01-02T03:04:05Z".to_owned()),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|v| format!("[{}]", v.join(", "))),
            prop::collection::btree_map("[a-z]{1,5}", inner, 0..4).prop_map(|map| {
                let fields: Vec<String> = map.iter().map(|(k, v)| format!("{k} = {v}")).collect();
                format!("{{ {} }}", fields.join(", "))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn a_reference_is_its_value(text in value(), factors in 1usize..1000, rate in 1e-6f32..10.0, layers in prop::collection::vec(1u32.., 0..6)) {
        // Any value, through parameters of parameters and inside a list and a table.
        let with = format!("v = {text}\nw = \"${{v}}\"\nx = {{ list = [\"${{w}}\"] }}");
        let stage = "\n[stage.c]\nkind = 'ingest'\nsource = 'x'\n";
        let pipeline = load_text(&format!("[params]\n{with}{stage}")).unwrap();
        prop_assert_eq!(&pipeline.params["w"], &pipeline.params["v"]);
        prop_assert_eq!(&pipeline.params["x"]["list"][0], &pipeline.params["v"]);

        // What a kind reads from a reference is what it reads from the value itself.
        let stages = |factors: &str, rate: &str, layers: &str| format!(
            "{stage}[stage.cf]\nkind = 'fit-cf'\ninputs.interactions = 'c'\nfactors = {factors}\nregularisation = {rate}\n[stage.e]\nkind = 'embed-text'\ninputs.catalog = 'c'\nlayers = {layers}\nnames = {{ a = {rate} }}\n"
        );
        let (rate, layers) = (format!("{rate:?}"), format!("{layers:?}"));
        let literal = load_text(&stages(&factors.to_string(), &rate, &layers)).unwrap();
        let referring = load_text(&format!(
            "[params]\nf = {factors}\nr = {rate}\nl = {layers}\n{}",
            stages("'${f}'", "'${r}'", "'${l}'")
        )).unwrap();
        for (a, b) in literal.stages.iter().zip(&referring.stages) {
            prop_assert_eq!(&a.params, &b.params);
        }
    }

    #[test]
    fn text_without_references_is_left_alone(text in "[ -~]{0,40}") {
        let document = format!("x = {}", serde_json::to_string(&text.replace("${", "$${")).unwrap());
        let mut findings = Findings::default();
        let table = DeTable::parse(&document).unwrap();
        let entries = read_table(table.get_ref(), 0, &mut findings);
        let params = crate::spec::params::Params::default();
        let node = interpolate(&entries[0].node, &mut ParamsOnly(&params), &mut findings).unwrap();
        prop_assert!(matches!(node.value, Value::Text(found) if found == text));
    }

    #[test]
    fn no_text_makes_loading_panic(text in "([a-z.\\[\\]=\"'{}$*,\n -]|stage|kind|ingest|params|matrix|inputs|\\$\\{|include|profile){0,60}") {
        if let Err(errors) = load_text(&text) {
            prop_assert!(!errors.problems().is_empty());
            prop_assert!(errors.render(false).contains("error: "));
        }
    }
}
