//! Every message about how stages hang together.

use super::messages::{each, each_after_good};
use crate::spec::testing::problems_of;

#[test]
fn matrices() {
    insta::assert_snapshot!(each_after_good(&[
        (
            "empty axis",
            "[stage.a]\nkind = 'ingest'\nsource = 'x'\nmatrix = { seed = [] }"
        ),
        (
            "empty axis by parameter",
            "[stage.a]\nkind = 'ingest'\nsource = 'x'\nmatrix = { seed = '${none}' }\n[params]\nnone = []"
        ),
        (
            "empty axis in use",
            "[stage.a]\nkind = 'phase-1'\nmatrix = { seed = [] }\nseed = '${matrix.seed}'\nsteps = '${matrix.seed}'\ninputs.items = 'cf'\n[stage.b]\nkind = 'table'\ninputs.rows = 'a[*]'"
        ),
        (
            "no named arms",
            "[stage.a]\nkind = 'ingest'\nsource = 'x'\nmatrix.arm = {}"
        ),
        (
            "no axes",
            "[stage.a]\nkind = 'ingest'\nsource = 'x'\nmatrix = {}"
        ),
        (
            "no table",
            "[stage.a]\nkind = 'ingest'\nsource = 'x'\nmatrix = [1, 2]"
        ),
        (
            "no list",
            "[stage.a]\nkind = 'ingest'\nsource = 'x'\nmatrix = { seed = 3 }"
        ),
        (
            "lists on an axis",
            "[stage.a]\nkind = 'ingest'\nsource = 'x'\nmatrix = { losses = [['als'], ['bpr']] }"
        ),
        (
            "arm is no table",
            "[stage.a]\nkind = 'ingest'\nsource = 'x'\nmatrix.arm = { a = 1 }"
        ),
        (
            "value twice",
            "[stage.a]\nkind = 'ingest'\nsource = 'x'\nmatrix = { seed = [1, 2, 1] }"
        ),
        (
            "value with brackets",
            "[stage.a]\nkind = 'ingest'\nsource = 'x'\nmatrix = { seed = ['a,b'] }"
        ),
        (
            "own values",
            "[stage.a]\nkind = 'ingest'\nsource = 'x'\nmatrix = { a = [1], b = ['${matrix.a}'] }"
        ),
        (
            "bad axis name",
            "[stage.a]\nkind = 'ingest'\nsource = 'x'\nmatrix = { 'a b' = [1] }"
        ),
        (
            "arms do not agree",
            "[stage.'a[x=1]']\nkind = 'ingest'\nsource = 'x'\n[stage.a]\nkind = 'ingest'\nsource = 'x'"
        ),
        (
            "a matrix in one arm",
            "[stage.'a[x=1]']\nkind = 'ingest'\nsource = 'x'\nmatrix = { y = [1] }"
        ),
    ]));
    let axis: Vec<String> = (0..400).map(|n| n.to_string()).collect();
    let axis = axis.join(",");
    let many = format!(
        "[stage.a]\nkind = 'ingest'\nsource = 'x'\n[stage.a.matrix]\na = [{axis}]\nb = [{axis}]\n"
    );
    assert!(problems_of(&many).starts_with("error: stage `a`: the matrix has"));
}

#[test]
fn inputs() {
    insta::assert_snapshot!(each_after_good(&[
        (
            "unknown stage",
            "[stage.a]\nkind = 'phase-1'\nsteps = 1\ninputs = { items = 'cff' }"
        ),
        (
            "dotted",
            "[stage.a]\nkind = 'fit-cf'\ninputs = { interactions = 'catalog.train' }"
        ),
        (
            "unknown port",
            "[stage.a]\nkind = 'fit-cf'\ninputs = { interaction = 'catalog' }"
        ),
        (
            "no ports",
            "[stage.a]\nkind = 'ingest'\nsource = 'x'\ninputs = { from = 'catalog' }"
        ),
        ("missing port", "[stage.a]\nkind = 'table'"),
        (
            "empty list",
            "[stage.a]\nkind = 'table'\ninputs = { rows = [] }"
        ),
        (
            "wrong artifact",
            "[stage.a]\nkind = 'phase-1'\nsteps = 1\ninputs = { items = 'catalog' }"
        ),
        (
            "nothing fits",
            "[stage.a]\nkind = 'ingest'\nsource = ''\n[stage.b]\nkind = 'table'\ninputs = { rows = 'a' }"
        ),
        (
            "swept",
            "[stage.a]\nkind = 'table'\ninputs = { rows = 'swept' }"
        ),
        (
            "swept for one",
            "[stage.a]\nkind = 'phase-1'\nsteps = 1\ninputs = { items = 'cf', start = 'swept' }"
        ),
        (
            "all for one",
            "[stage.a]\nkind = 'phase-1'\nsteps = 1\ninputs = { items = 'cf', start = 'swept[*]' }"
        ),
        (
            "several for one",
            "[stage.a]\nkind = 'phase-1'\nsteps = 1\ninputs = { items = ['cf'], start = 'swept[seed=1]' }"
        ),
        (
            "two stages for one",
            "[stage.cf2]\nkind = 'fit-cf'\ninputs.interactions = 'catalog'\n[stage.a]\nkind = 'phase-1'\nsteps = 1\ninputs = { items = ['cf', 'cf2'] }"
        ),
        (
            "unknown axis",
            "[stage.a]\nkind = 'table'\ninputs = { rows = 'swept[sed=1]' }"
        ),
        (
            "axis of an unswept stage",
            "[stage.a]\nkind = 'fit-cf'\ninputs = { interactions = 'catalog[seed=1]' }"
        ),
        (
            "unknown value",
            "[stage.a]\nkind = 'table'\ninputs = { rows = 'swept[adapter=mpl]' }"
        ),
        (
            "axis twice with two values",
            "[stage.a]\nkind = 'table'\ninputs = { rows = 'swept[seed=1,seed=2]' }"
        ),
        (
            "no equal arm",
            "[stage.a]\nkind = 'table'\nmatrix = { seed = [1, 3], adapter = ['mlp'] }\ninputs = { rows = 'swept' }"
        ),
        (
            "twice",
            "[stage.a]\nkind = 'table'\ninputs = { rows = ['swept[*]', 'swept[adapter=mlp,seed=1]'] }"
        ),
        (
            "no reference",
            "[stage.a]\nkind = 'table'\ninputs = { rows = ['swept[', 1] }"
        ),
        ("no table", "[stage.a]\nkind = 'table'\ninputs = 'swept'"),
        (
            "with an unknown kind",
            "[stage.a]\nkind = 'tabel'\ninputs = { rows = 'swpt[*]' }"
        ),
    ]));
}

#[test]
fn cycles() {
    insta::assert_snapshot!(each(&[
        (
            "itself",
            "[stage.a]\nkind = 'phase-1'\nsteps = 1\ninputs = { items = 'cf', start = 'a' }\n[stage.cf]\nkind = 'fit-cf'\ninputs.interactions = 'c'\n[stage.c]\nkind = 'ingest'\nsource = 'x'"
        ),
        (
            "three sweeps and a bystander",
            r#"
[stage.cf]
kind = "fit-cf"
inputs = { interactions = "catalog" }
[stage.catalog]
kind = "ingest"
source = "x"
[stage.first]
kind = "phase-1"
matrix = { seed = [1, 2] }
steps = 1
inputs = { items = "cf", start = "third" }
[stage.second]
kind = "phase-1"
matrix = { seed = [1, 2] }
steps = 1
inputs = { items = "cf", start = "first" }
[stage.third]
kind = "phase-1"
matrix = { seed = [1, 2] }
steps = 1
inputs = { items = "cf", start = "second" }
[stage.after]
kind = "table"
inputs = { rows = "third[*]" }
"#
        ),
        (
            "between arms",
            r#"
[stage.cf]
kind = "fit-cf"
inputs = { interactions = "catalog" }
[stage.catalog]
kind = "ingest"
source = "x"
[stage.a]
kind = "phase-1"
matrix.arm = { one = { from = "two" }, two = { from = "one" } }
steps = 1
inputs = { items = "cf", start = "a[arm=${matrix.arm.from}]" }
"#
        ),
    ]));
}
