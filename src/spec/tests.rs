use super::testing::*;
use super::*;
mod scratch {
    use super::*;
    #[test]
    fn try_out() {
        let text = r#"
name = "t"
[params]
f = 0
seeds = [1, 2]
[stage.catalog]
kind = "ingest"
source = "x"
rows = "many"
[stage.cf]
kind = "fit-cf"
inputs = { interactions = "catalgo" }
factors = "${f}"
loss = "alz"
factor = 3
model = { width = 10, heads = 3 }
[stage.train]
kind = "phase-1"
matrix = { seed = "${seeds}" }
seed = "${matrix.seed}"
inputs = { items = "catalog", start = "train" }
losses = ["als", "bbr"]
[stage.table]
kind = "tabel"
inputs = { rows = "train" }
[stage.table2]
kind = "table"
inputs = { rows = "train" }
"#;
        println!("{}", problems_of(text));
        println!("{}", problems_of("a = \n[stage\nx=1\n"));
        println!(
            "{}",
            load_text("[stage.a]\nkind=\"ingest\"\nsource=\"$${x}\"\n")
                .map(|p| format!("{p:#?}"))
                .unwrap_or_else(|e| e.to_string())
        );
    }
}
